import { type Caller, newId } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  rowSaying,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  testEngine,
  timeLimit,
} from '@aitbc/testing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { builder, CALLER_HEADER, type ChassisTables, deriveKey, signCaller } from './index.ts';
import { TookTooLong } from './store/fault.ts';
import { effectsOf, type OnMessage, standInRoutes, startStandIn } from './testing-processes/stand-in.ts';

const db = builder<ChassisTables>();
const client = someone(['client']);
type StandIn = Awaited<ReturnType<typeof startStandIn>>;

let redisUrl: string;
let directory: string;
let services: StandIn[];
let onMessage: OnMessage;

const start = async (name: 'jobs' | 'payments'): Promise<StandIn> => {
  const service = await startStandIn(
    name,
    serviceEnv(name, directory, redisUrl),
    (reason) => expect.fail(reason),
    (trx, message, payload) => onMessage(trx, message, payload),
  );
  services.push(service);
  return service;
};
beforeEach(async () => {
  redisUrl = await scratchRedis();
  directory = scratchDirectory();
  services = [];
  onMessage = () => {};
});
afterEach(async () => {
  for (const service of services) await service.stop();
});

const ids = (count: number): string[] => Array.from({ length: count }, newId);
const onceEach = (about: string[]) => new Map(about.map((each) => [each, 1]));
const escrowed = (seq: number | null, job_id: string) => ({
  seq,
  name: 'payments.escrowed',
  version: 1,
  payload: { payment_id: job_id, job_id, amount_minor: 1 },
});
const matched = (seq: number) => ({
  seq,
  name: 'dispatch.matched',
  version: 1,
  payload: { poll_id: newId(), miner_id: newId(), job_ids: [newId()] },
});
const streamOf = (service: StandIn, stream: string) =>
  service.store.read.get(db.selectFrom('inbox_stream').selectAll().where('stream', '=', stream));
const aheadOf = (service: StandIn) =>
  service.store.read.all(db.selectFrom('inbox_ahead').selectAll().orderBy('seq'));
const deadLetters = (service: StandIn) =>
  service.store.read.all(db.selectFrom('dead_letter').selectAll().orderBy('id'));
const unacknowledged = async (service: StandIn) => {
  const text = await (await fetch(`${service.url}/metrics`)).text();
  return Number(/^outbox_unacknowledged\{.*\} (\d+)$/m.exec(text)?.[1]);
};

test('there and back: every message has one effect, then nothing is kept of it', async () => {
  const jobs = await start('jobs');
  const payments = await start('payments');
  const said = ids(450);
  const caller = callerOf(jobs.url, client);
  await Promise.all(
    Array.from({ length: 9 }, (_, turn) =>
      caller.call(standInRoutes.say, { body: { job_ids: said.slice(turn * 50, turn * 50 + 50) } }),
    ),
  );
  const isQuiet = async () => (await unacknowledged(jobs)) + (await unacknowledged(payments)) === 0;
  await eventually(isQuiet, { withinMs: timeLimit(20_000) });
  expect(await effectsOf(payments.store, 'jobs.submitted')).toEqual(onceEach(said));
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(onceEach(said));
  // The newest row of a destination stays, so that its number is not given again.
  const rows = await jobs.store.read.all(db.selectFrom('outbox').select(['destination', 'seq']));
  expect(rows).toEqual([{ destination: 'payments', seq: 450 }]);
  expect(await streamOf(payments, jobs.store.stream)).toMatchObject({ watermark: 450, highest: 450 });
  await eventually(async () => (await aheadOf(payments)).length === 0);
});

test('duplicates, disorder and gaps: one effect each, and the watermark waits for the gap', async () => {
  const jobs = await start('jobs');
  const all = ids(40);
  const message = (seq: number) => escrowed(seq, all[seq - 1] as string);
  const send = (...seqs: number[]) => jobs.publish({ stream: 'peer-1', messages: seqs.map(message) });
  await send(3, 2);
  await send(1, 2, 3);
  await send(6, 8, 8);
  // On PostgreSQL the watermark is moved from time to time.
  await eventually(async () => (await streamOf(jobs, 'peer-1'))?.watermark === 3);
  await eventually(async () => (await aheadOf(jobs)).map(({ seq }) => seq).join() === '6,8');
  // Everything again and again, backwards, from an order that a fixed seed shuffles.
  let random = 7;
  const shuffled = Array.from({ length: 200 }, () => {
    random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
    return 1 + (random % 40);
  });
  for (let from = 0; from < 200; from += 10) await send(...shuffled.slice(from, from + 10));
  await send(...Array.from({ length: 40 }, (_, index) => 40 - index));
  await eventually(async () => (await streamOf(jobs, 'peer-1'))?.watermark === 40);
  await eventually(async () => (await aheadOf(jobs)).length === 0);
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(onceEach(all));
});

test('a large batch is heard in parts where processes share the store: a transaction has 5 s', async () => {
  const jobs = await start('jobs');
  const all = ids(120);
  const transact = vi.spyOn(jobs.store, 'transact');
  await jobs.publish({ stream: 'peer-1', messages: all.map((id, index) => escrowed(index + 1, id)) });
  await eventually(async () => (await streamOf(jobs, 'peer-1'))?.watermark === all.length);
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(onceEach(all));
  const heard = transact.mock.calls.filter(([name]) => name === 'inbox.receive');
  expect(heard).toHaveLength(jobs.store.isShared ? 3 : 1);
});

test.skipIf(testEngine === 'sqlite')('messages that take too long together are heard in halves', async () => {
  const jobs = await start('jobs');
  const all = ids(12);
  const slow = { sql: 'SELECT pg_sleep(0.6)', bind: () => [] };
  onMessage = async (trx) => void (await trx.get(slow, {}));
  await jobs.publish({ stream: 'peer-1', messages: all.map((id, index) => escrowed(index + 1, id)) });
  await eventually(async () => (await streamOf(jobs, 'peer-1'))?.watermark === all.length);
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(onceEach(all));
});

test('the same number in another stream is another message; without a number each copy counts', async () => {
  const jobs = await start('jobs');
  const [one, other] = ids(2) as [string, string];
  await jobs.publish({ stream: 'peer-1', messages: [escrowed(1, one)] });
  await jobs.publish({ stream: 'peer-2', messages: [escrowed(1, other)] });
  const unnumbered = { ...matched(0), seq: null };
  await jobs.publish({ stream: 'dispatcher', messages: [unnumbered, unnumbered] }, 'dispatcher');
  await eventually(async () => (await effectsOf(jobs.store, 'dispatch.matched')).get('') === 2);
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(onceEach([one, other]));
});

test('what was heard ahead of messages that are gone for good counts as heard, and the watermark goes on behind it', async () => {
  const jobs = await start('jobs');
  const [third, fourth] = ids(2) as [string, string];
  await jobs.publish({ stream: 'peer-1', messages: [escrowed(3, third)] });
  await eventually(async () => (await aheadOf(jobs)).length === 1);
  // This file was put back from an older copy: its sender was told of the first two, and has them no more.
  const again = [escrowed(3, third), escrowed(4, fourth)];
  await jobs.publish({ stream: 'peer-1', floor: 3, messages: again });
  await eventually(async () => (await streamOf(jobs, 'peer-1'))?.watermark === 4);
  await eventually(async () => (await aheadOf(jobs)).length === 0);
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(onceEach([third, fourth]));
});

test('what PostgreSQL had noted one by one is heard once where the rows were moved to', async () => {
  const before = await start('jobs');
  await before.store.transact('test.moved', async (trx) => {
    await trx.run(db.insertInto('inbox_stream').values({ stream: 'peer-1', watermark: 2, highest: 2 }));
    for (const seq of [1, 2, 3, 4, 6])
      await trx.run(db.insertInto('inbox_ahead').values({ stream: 'peer-1', seq }));
  });
  await before.stop();
  services = [];
  const jobs = await start('jobs');
  const all = ids(5);
  const messages = all.map((id, index) => escrowed(index + 3, id));
  await jobs.publish({ stream: 'peer-1', messages });
  await eventually(async () => (await streamOf(jobs, 'peer-1'))?.watermark === 7);
  await eventually(async () => (await aheadOf(jobs)).length === 0);
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(
    onceEach([all[2] as string, all[4] as string]),
  );
});

test('a message that takes too long also alone is set aside, and those behind it are heard', async () => {
  const jobs = await start('jobs');
  const all = ids(3);
  const slow = all[1];
  onMessage = (_trx, _name, { job_id }) => {
    if (job_id === slow) throw new TookTooLong('a test takes its time');
  };
  await jobs.publish({ stream: 'peer-1', messages: all.map((id, index) => escrowed(index + 1, id)) });
  await eventually(async () => (await streamOf(jobs, 'peer-1'))?.watermark === 3);
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(onceEach(all.filter((id) => id !== slow)));
  expect(await deadLetters(jobs)).toMatchObject([{ name: 'payments.escrowed', seq: 2 }]);
});

test('what cannot be read is set aside at once and holds nobody up', async () => {
  const jobs = await start('jobs');
  const [before, after] = ids(2) as [string, string];
  await jobs.publish('not a batch at all');
  await jobs.publish({ stream: 'peer-1', messages: 'nor this' });
  await jobs.publish({
    stream: 'peer-1',
    messages: [
      escrowed(1, before),
      { seq: 2, name: 'nobody.said_this', version: 1, payload: {} },
      { seq: 3, name: 'constructor', version: 1, payload: {} },
      // Known, but not for this service.
      { seq: 4, name: 'jobs.submitted', version: 1, payload: {} },
      { ...escrowed(5, newId()), payload: { payment_id: 'no id' } },
      // Another's to say, and a fact without a number.
      matched(7),
      escrowed(null, newId()),
      escrowed(6, after),
    ],
  });
  await eventually(async () => (await effectsOf(jobs.store, 'payments.escrowed')).has(after));
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(onceEach([before, after]));
  await eventually(async () => (await streamOf(jobs, 'peer-1'))?.watermark === 7);
  await eventually(async () => (await deadLetters(jobs)).length === 8);
  expect(
    (await deadLetters(jobs)).every(({ retry_at_ms, attempts }) => retry_at_ms === null && attempts === 1),
  ).toBe(true);
  expect((await deadLetters(jobs)).map(({ name }) => name).sort()).toEqual([
    'batch',
    'batch',
    'constructor',
    'dispatch.matched',
    'jobs.submitted',
    'nobody.said_this',
    'payments.escrowed',
    'payments.escrowed',
  ]);
});

/** When a message was tried: with its batch and alone, and each of them twice at most, is one attempt. */
const attempts = () => {
  const at: number[] = [];
  let last = Number.NEGATIVE_INFINITY;
  return {
    at,
    note: () => {
      const now = performance.now();
      // The first pause between two attempts is 250 ms.
      if (now - last > 200) at.push(now);
      last = now;
    },
  };
};

test('a poisonous message is undone alone, tried again with back-off, and done once when it can be', async () => {
  const jobs = await start('jobs');
  const all = ids(5);
  const poison = all[2];
  const tries = attempts();
  let isHealed = false;
  onMessage = (_trx, _name, payload) => {
    if (payload.job_id !== poison || isHealed) return;
    tries.note();
    throw new Error('not today');
  };
  await jobs.publish({ stream: 'peer-1', messages: all.map((id, index) => escrowed(index + 1, id)) });
  await eventually(() => tries.at.length >= 4);
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(
    onceEach(all.filter((id) => id !== poison)),
  );
  expect(await streamOf(jobs, 'peer-1')).toMatchObject({ watermark: 5 });
  expect(await deadLetters(jobs)).toMatchObject([
    { name: 'payments.escrowed', seq: 3, error: 'Error: not today' },
  ]);
  const gaps = tries.at.slice(1).map((at, index) => at - (tries.at[index] as number));
  // After 250, 500, 1,000 ms, each until the next look at the letters.
  expect(gaps[1]).toBeGreaterThan(450);
  expect(gaps[2]).toBeGreaterThan(950);
  isHealed = true;
  await eventually(async () => (await deadLetters(jobs)).length === 0);
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(onceEach(all));
});

test.each([2, -2])(
  'a wall clock that jumps by %i hours neither delays what is tried again nor uses up its attempts',
  async (hours) => {
    const jobs = await start('jobs');
    const tries = attempts();
    onMessage = (_trx, name) => {
      if (name !== 'dispatch.matched') return;
      tries.note();
      if (tries.at.length < 3) throw new Error('broken');
    };
    await jobs.publish({ stream: 'peer-1', messages: [matched(1)] }, 'dispatcher');
    await eventually(async () => (await deadLetters(jobs)).length === 1);
    const wallClock = Date.now;
    const jumped = vi.spyOn(Date, 'now').mockImplementation(() => wallClock() + hours * 3_600_000);
    await eventually(async () => (await effectsOf(jobs.store, 'dispatch.matched')).size === 1);
    jumped.mockRestore();
    expect(await deadLetters(jobs)).toEqual([]);
    // The catalogue gives it three attempts: the third was the last.
    expect(tries.at).toHaveLength(3);
  },
);

test('after its attempts a message waits for an operator, who replays or drops it', async () => {
  const jobs = await start('jobs');
  const payments = await start('payments');
  let isHealed = false;
  onMessage = (_trx, name) => {
    if (name === 'dispatch.matched' && !isHealed) throw new Error('still broken');
  };
  // The catalogue gives dispatch.matched three attempts.
  await jobs.publish({ stream: 'peer-1', messages: [matched(1), matched(2)] }, 'dispatcher');
  await eventually(async () => {
    const letters = await deadLetters(jobs);
    return letters.length === 2 && letters.every(({ retry_at_ms }) => retry_at_ms === null);
  });
  expect((await deadLetters(jobs)).map(({ attempts }) => attempts)).toEqual([3, 3]);

  const path = '/internal/dead-letters';
  const key = deriveKey(serviceEnv('jobs', directory, redisUrl).SECRET_KEY as string, 'caller');
  const call = async (caller: Caller | null, body?: unknown, url = jobs.url) => {
    const method = body === undefined ? 'GET' : 'POST';
    const header = signCaller(key, { caller, request_id: newId(), at_ms: Date.now() }, method, path);
    const response = await fetch(url + path, {
      method,
      headers: { [CALLER_HEADER]: header, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: body === '' ? null : JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as { items: { id: string }[] } };
  };
  const admin = someone(['admin']);
  expect((await fetch(jobs.url + path)).status).toBe(401);
  expect((await call(null)).status).toBe(403);
  expect((await call(client)).status).toBe(403);
  expect((await call(client, { id: 'x', action: 'drop' })).status).toBe(403);
  expect(await call(admin, { id: 'x', action: 'drop' })).toMatchObject({ status: 404 });
  expect(await call(admin, { id: 'x', action: 'explode' })).toMatchObject({ status: 422 });
  expect(await call(admin, [])).toMatchObject({ status: 422 });
  expect(await call(admin, '')).toMatchObject({ status: 422 });
  expect((await call(admin, undefined, payments.url)).body).toEqual({ items: [] });

  const listed = await call(admin);
  expect(listed.body.items).toHaveLength(2);
  expect(listed.body.items[0]).toMatchObject({
    service: 'jobs',
    name: 'dispatch.matched',
    retry_at: null,
    error: 'Error: still broken',
  });
  expect(JSON.stringify(listed.body)).not.toContain('poll_id');
  const [first, second] = listed.body.items as [{ id: string }, { id: string }];
  // Replayed while the cause is there, it comes back to the operator.
  await call(admin, { id: first.id, action: 'replay' });
  await eventually(
    async () => (await deadLetters(jobs)).find(({ id }) => id === first.id)?.retry_at_ms === null,
  );
  isHealed = true;
  expect(await call(admin, { id: first.id, action: 'replay' })).toMatchObject({ status: 200 });
  await eventually(async () => (await deadLetters(jobs)).length === 1);
  expect(await effectsOf(jobs.store, 'dispatch.matched')).toEqual(new Map([['', 1]]));
  expect(await call(admin, { id: second.id, action: 'drop' })).toMatchObject({ status: 200 });
  expect(await deadLetters(jobs)).toEqual([]);
  expect(await effectsOf(jobs.store, 'dispatch.matched')).toEqual(new Map([['', 1]]));
});

test('large messages are read from the file once, however few of them an entry holds', async () => {
  const jobs = await start('jobs');
  const payments = await start('payments');
  const said = ids(60);
  const read = vi.spyOn(jobs.store.read, 'all');
  // Blanks behind it make the same message large: two fill an entry.
  const pad = ' '.repeat(120 * 1024);
  const payloadOf = (job_id: string) =>
    JSON.stringify({
      job_id,
      account_id: client.account_id,
      credential_id: null,
      spend_cap_minor: null,
      payment_amount_minor: null,
      submitted_at_ms: 1,
    }) + pad;
  for (const [index, job_id] of said.entries())
    await jobs.store.transact('test.say', async (trx) => {
      const row = rowSaying('jobs.submitted', payloadOf(job_id), jobs.store);
      await trx.run(
        db.insertInto('outbox').values({ destination: 'payments', seq: index + 1, created_at_ms: 1, ...row }),
      );
      if (index === said.length - 1) trx.notify('outbox:payments');
    });
  await eventually(async () => (await unacknowledged(jobs)) === 0);
  expect(await effectsOf(payments.store, 'jobs.submitted')).toEqual(onceEach(said));
  const answers = await Promise.all(
    read.mock.results.map(({ value }) => value as Promise<{ messages?: string }[]>),
  );
  const rows = answers.flat();
  const isLarge = ({ messages }: { messages?: string }) => messages?.includes(pad) ?? false;
  expect(rows.some(isLarge)).toBe(true);
  // Twice or three times where a loaded machine makes them late, and they are sent again; never once for each entry.
  expect(rows.filter(isLarge).length).toBeLessThan(said.length * 5);
});
