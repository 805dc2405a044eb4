import { statSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig, type Running } from '@aitbc/chassis';
import { type BodyIn, type MinerRegistration, minersRoutes, newId } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  openByHand,
  openPeers,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  testEngine,
} from '@aitbc/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configShape } from './config.ts';
import { startMiners } from './service.ts';

let directory: string;
let redisUrl: string;
let service: Running;
let peers: Awaited<ReturnType<typeof openPeers>>;
let skewMs: number;

const now = () => Date.now() + skewMs;
const start = () =>
  startMiners(
    loadConfig(configShape, serviceEnv('miners', directory, redisUrl)),
    (reason) => expect.fail(reason),
    now,
  );

beforeEach(async () => {
  skewMs = 0;
  directory = scratchDirectory();
  redisUrl = await scratchRedis();
  peers = await openPeers(redisUrl);
  service = await start();
});
afterEach(async () => {
  await service.stop();
  await peers.close();
});

const registration = (changes: Partial<MinerRegistration> = {}): MinerRegistration => ({
  address: 'aitbc1-someone',
  capabilities: ['ocr', 'a_type_of_the_future'],
  gpus: [{ model: 'Model of Tomorrow', vram_gb: 24, count: 2 }],
  models: [],
  concurrency: 2,
  ...changes,
});
const miner = someone(['miner']);
const register = async (changes: Partial<MinerRegistration> = {}, who = miner) => {
  const reply = await callerOf(service.url, who).call(minersRoutes.register, { body: registration(changes) });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply;
};
type Beat = Partial<BodyIn<typeof minersRoutes.heartbeat>>;
const beat = (body: Beat = {}, who = miner, signal?: AbortSignal) =>
  callerOf(service.url, who).call(minersRoutes.heartbeat, {
    body: { inflight: [], ...body },
    ...(signal === undefined ? {} : { signal }),
  });
const me = async (who = miner) => {
  const reply = await callerOf(service.url, who).call(minersRoutes.me, {});
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body.items;
};
const started = (job_id: string, miner_id: string, attempt = 1) =>
  peers.send(
    'jobs.started',
    {
      job_id,
      miner_id,
      miner_account_id: miner.account_id,
      attempt,
      deadline_at_ms: Date.now() + 300_000,
    },
    'miners',
  );
type Outcome = 'completed' | 'failed' | 'timed_out' | 'lost' | 'cancelled' | 'expired' | 'returned';
const ended = (job_id: string, miner_id: string, outcome: Outcome, attempt = 1) =>
  peers.send('jobs.attempt_ended', { job_id, miner_id, attempt, outcome });

test('register, beat, be found: the main flow', async () => {
  const heard = peers.listen('jobs');
  const { status, body } = await register({
    price_per_job: 1.5,
    region: 'eu',
    cuda_version: '12.4',
    name: 'rig',
  });
  expect(status).toBe(201);
  expect(body).toMatchObject({
    name: 'rig',
    status: 'active',
    price_per_job: 1.5,
    inflight: 0,
    reputation: 0.5,
  });

  const reply = await beat({ miner_id: body.id });
  expect(reply).toMatchObject({
    status: 200,
    body: { status: 'active', cancel: [], drop: [], next_heartbeat_seconds: 13 },
  });
  const told = await eventually(() => heard[0]);
  expect(told).toMatchObject({
    name: 'miners.changed',
    payload: {
      miner_id: body.id,
      account_id: miner.account_id,
      revision: 1,
      status: 'active',
      capabilities: ['ocr', 'a_type_of_the_future'],
      price_per_job_minor: 150_000_000,
      region: 'eu',
    },
  });
  expect(await me()).toMatchObject([{ id: body.id, earnings: 0, idle_reason: 'no_matching_jobs' }]);
  const list = await callerOf(service.url, null).call(minersRoutes.list, {});
  expect(list.body).toMatchObject({ items: [{ id: body.id, status: 'active' }], next_cursor: null });
  expect(JSON.stringify(list.body)).not.toContain(miner.account_id);
});

/** What it gives changes with every commit, and with nothing else. */
const watchWrites = async () => {
  if (testEngine === 'sqlite') {
    const size = () => statSync(join(directory, 'miners.db-wal')).size;
    return { read: async (): Promise<unknown> => size(), close: async () => {} };
  }
  const db = await openByHand(serviceEnv('miners', directory, redisUrl).DATABASE_URL as string);
  const read = async (): Promise<unknown> =>
    JSON.stringify(await db.all('SELECT * FROM store_commit ORDER BY writer'));
  return { read, close: () => db.close() };
};

test('beats write nothing', async () => {
  await register();
  await beat();
  const writes = await watchWrites();
  // Who was seen is written now and then: on a slow machine while these beats are heard, and then some are heard again.
  await eventually(async () => {
    const written = await writes.read();
    await Promise.all(Array.from({ length: 10 }, () => beat()));
    return (await writes.read()) === written;
  });
  await writes.close();
});

test('registering again keeps id and work; others are told only of what changed', async () => {
  const heard = peers.listen('jobs');
  const first = await register();
  const job = newId();
  await started(job, first.body.id);
  await eventually(async () => (await me())[0]?.inflight === 1);

  const same = await register();
  expect(same).toMatchObject({ status: 200, body: { id: first.body.id, inflight: 1 } });
  const changed = await register({ region: 'us', capabilities: ['ocr', 'ocr'] });
  expect(changed).toMatchObject({
    status: 200,
    body: { id: first.body.id, region: 'us', capabilities: ['ocr'] },
  });
  const other = await register({ name: 'another' });
  expect(other.status).toBe(201);
  expect(other.body.id).not.toBe(first.body.id);

  await eventually(() => heard.length >= 3);
  expect(heard.map(({ payload }) => payload)).toMatchObject([
    { miner_id: first.body.id, revision: 1, region: null },
    { miner_id: first.body.id, revision: 2, region: 'us' },
    { miner_id: other.body.id, revision: 1 },
  ]);
});

test('which miner beats: the named, or the only one; another account’s is not found', async () => {
  expect(await beat()).toMatchObject({ status: 404, body: { error: { code: 'MINER_NOT_REGISTERED' } } });
  const { body } = await register();
  expect(await beat()).toMatchObject({ status: 200 });
  const stranger = someone(['miner']);
  expect(await beat({ miner_id: body.id }, stranger)).toMatchObject({
    status: 404,
    body: { error: { code: 'MINER_NOT_REGISTERED' } },
  });
  expect(await me(stranger)).toEqual([]);
  await register({ name: 'second' });
  expect(await beat()).toMatchObject({
    status: 422,
    body: { error: { details: { issues: [{ path: 'miner_id' }] } } },
  });
  expect(await beat({ miner_id: body.id })).toMatchObject({ status: 200 });
});

test('cancel and drop are told while the agent names the job, once when it does not', async () => {
  const { body } = await register({ concurrency: 8 });
  const { id } = body;
  const [cancelled, expired, lost, late, done, running, foreign] = Array.from({ length: 7 }, newId) as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  for (const job of [cancelled, expired, lost, late, done, running]) await started(job, id);
  await ended(cancelled, id, 'cancelled');
  await ended(expired, id, 'expired');
  await ended(lost, id, 'lost');
  await ended(late, id, 'timed_out');
  await ended(done, id, 'completed');
  await eventually(async () => (await me())[0]?.jobs_completed === 1);
  const inflight = [cancelled, expired, lost, late, done, running, foreign];

  for (const turn of ['first', 'again']) {
    const reply = await beat({ inflight });
    expect([turn, reply.body]).toMatchObject([turn, { cancel: [cancelled, expired], drop: [lost, late] }]);
  }
  const unnamed = newId();
  await ended(unnamed, id, 'cancelled');
  await eventually(async () => {
    const reply = await beat({ inflight: [running] });
    return reply.ok && reply.body.cancel.includes(unnamed);
  });
  expect((await beat({ inflight: [running] })).body).toMatchObject({ cancel: [], drop: [] });
  expect((await beat({ inflight: [lost] })).body).toMatchObject({ cancel: [], drop: [lost] });
});

test('messages in any order lead to the same counters, and a job that came back is not dropped', async () => {
  const { body } = await register({ concurrency: 8 });
  const { id } = body;
  const elsewhere = newId();
  const [endFirst, moved, back, twice] = Array.from({ length: 4 }, newId) as [string, string, string, string];
  await ended(endFirst, id, 'failed');
  await started(endFirst, id);
  // The end of attempt 1 is still under way when attempt 2 is known.
  await started(moved, id, 1);
  await started(moved, elsewhere, 2);
  // Lost and given to the same miner again; the second start is heard before the first end.
  await started(back, id, 1);
  await started(back, id, 2);
  await ended(back, id, 'lost', 1);
  // Heard in two copies, as after a restored file.
  await started(twice, id);
  await ended(twice, id, 'completed');
  await ended(twice, id, 'completed');
  await started(twice, id);
  const mine = await eventually(async () => {
    const [item] = await me();
    return item !== undefined && item.jobs_completed > 0 && item.inflight === 1 && item;
  });
  expect(mine).toMatchObject({
    jobs_completed: 1,
    jobs_failed: 1,
    jobs_lost: 1,
    inflight: 1,
    idle_reason: null,
  });
  expect((await beat({ inflight: [endFirst, moved, back, twice] })).body).toMatchObject({
    cancel: [],
    drop: [moved],
  });
});

test('a job that came back is not dropped while the news of its new lease is under way', async () => {
  const { id } = (await register({ concurrency: 8 })).body;
  const elsewhere = newId();
  const [back, wandered] = [newId(), newId()];
  await started(back, id, 1);
  await ended(back, id, 'lost', 1);
  await started(wandered, id, 1);
  await ended(wandered, id, 'lost', 1);
  await started(wandered, elsewhere, 2);
  const inflight = [back, wandered];
  await eventually(async () => {
    expect((await beat({ inflight, attempts: [1, 1] })).body).toMatchObject({ drop: inflight });
    return true;
  });
  // Leased to it again: jobs answered its poll, the message has not come yet.
  expect((await beat({ inflight, attempts: [2, 3] })).body).toMatchObject({ cancel: [], drop: [] });
  // Positively over again.
  await started(back, id, 2);
  await ended(back, id, 'timed_out', 2);
  await started(wandered, elsewhere, 4);
  await eventually(async () => {
    expect((await beat({ inflight, attempts: [2, 3] })).body).toMatchObject({ drop: inflight });
    return true;
  });
  // What the client gave up is over in every attempt.
  await ended(wandered, elsewhere, 'cancelled', 4);
  await eventually(async () => {
    expect((await beat({ inflight, attempts: [2, 5] })).body).toMatchObject({
      cancel: [wandered],
      drop: [back],
    });
    return true;
  });
});

test('earnings count once a payment, for the miner that worked', async () => {
  const { body } = await register();
  const payment = {
    payment_id: newId(),
    job_id: newId(),
    kind: 'released' as const,
    payee_account_id: miner.account_id,
    miner_id: body.id,
    earned_minor: 125_000_000,
  };
  await peers.send('payments.resolved', payment, 'miners');
  await peers.send('payments.resolved', payment, 'miners');
  await peers.send(
    'payments.resolved',
    { ...payment, payment_id: newId(), kind: 'refunded', earned_minor: 0 },
    'miners',
  );
  await peers.send('payments.resolved', { ...payment, payment_id: newId(), miner_id: newId() }, 'miners');
  const marker = newId();
  await ended(marker, body.id, 'completed');
  await eventually(async () => (await me())[0]?.jobs_completed === 1);
  expect((await me())[0]?.earnings).toBe(1.25);
});

test('silence makes inactive, and is told; a beat brings back', async () => {
  const heard = peers.listen('jobs');
  await register();
  const beforeMs = now();
  await eventually(
    async () => {
      // The judge comes each second: longer steps would look as if the process had slept.
      skewMs += 1_500;
      return (await me())[0]?.status === 'inactive';
    },
    { everyMs: 250 },
  );
  expect(now() - beforeMs).toBeGreaterThan(30_000);
  expect((await me())[0]?.idle_reason).toBe('inactive');
  expect((await beat()).body).toMatchObject({ status: 'active' });
  await eventually(() => heard.length === 3);
  expect(heard.map(({ payload }) => payload)).toMatchObject([
    { revision: 1, status: 'active' },
    { revision: 2, status: 'inactive' },
    { revision: 3, status: 'active' },
  ]);
});

test('after a restart everybody has one timeout of grace, and what was known is known', async () => {
  const { body } = await register();
  const lost = newId();
  await started(lost, body.id);
  await ended(lost, body.id, 'lost');
  await eventually(async () => (await me())[0]?.jobs_lost === 1);
  await service.stop();
  skewMs += 3_600_000;
  service = await start();
  expect(await me()).toMatchObject([{ id: body.id, status: 'active', jobs_lost: 1 }]);
  expect(await beat({ inflight: [lost] })).toMatchObject({ status: 200, body: { drop: [lost] } });
  const metrics = await (await fetch(`${service.url}/metrics`)).text();
  expect(metrics).toMatch(/registered_miners\{.*\} 1/);
  expect(metrics).toMatch(/active_miners\{.*\} 1/);
});

test('a vote changes the timeout', async () => {
  await register();
  await peers.send(
    'governance.parameter_changed',
    { name: 'heartbeat_timeout_seconds', value: 100, version: 1, proposal_id: newId() },
    'miners',
  );
  await eventually(async () => {
    const reply = await beat();
    return reply.ok && reply.body.next_heartbeat_seconds === 45;
  });
});

test('the public list pages without gaps while miners register', async () => {
  const ids: string[] = [];
  for (let index = 0; index < 7; index += 1) ids.push((await register({ name: `m${index}` })).body.id);
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const reply = await callerOf(service.url, null).call(minersRoutes.list, {
      query: { limit: 3, cursor, status: 'active' },
    });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    seen.push(...reply.body.items.map(({ id }) => id));
    if (cursor === undefined) await register({ name: 'newcomer' });
    cursor = reply.body.next_cursor ?? undefined;
  } while (cursor !== undefined);
  expect(seen).toEqual(ids.reverse());
  const bad = await callerOf(service.url, null).call(minersRoutes.list, { query: { cursor: 'nonsense' } });
  expect(bad).toMatchObject({
    status: 422,
    body: { error: { details: { issues: [{ path: 'query.cursor' }] } } },
  });
});

test('the largest miners that there can be come in answers of 256 KB, all of them in the end', {
  timeout: 90_000,
}, async () => {
  const unit = { vram_gb: 9_999.5, count: 64 };
  const largest = {
    capabilities: Array.from({ length: 64 }, (_, index) => `${index}`.padEnd(64, '語')),
    gpus: Array.from({ length: 64 }, (_, index) => ({ model: `${index}`.padEnd(100, '語'), ...unit })),
  };
  const count = 25;
  for (let index = 0; index < count; index += 1) {
    // A body holds 256 KB: of the longest names of models, a part of 500.
    const models = Array.from({ length: 300 }, (_, model) =>
      `${index}-${model}`.padEnd(200, '語').slice(0, 190),
    );
    await register({ name: `m${index}`, ...largest, models });
  }
  const walk = async (ask: (cursor: string | undefined) => Promise<Reply>) => {
    const ids: string[] = [];
    let cursor: string | undefined;
    do {
      const reply = await ask(cursor);
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      const bytes = Buffer.byteLength(JSON.stringify(reply.body));
      if (reply.body.items.length > 1) expect(bytes).toBeLessThan(257 * 1_024);
      expect(bytes).toBeLessThan(300 * 1_024);
      ids.push(...reply.body.items.map(({ id }) => id));
      cursor = reply.body.next_cursor ?? undefined;
    } while (cursor !== undefined);
    return ids;
  };
  type Reply = { ok: boolean; body: { items: { id: string }[]; next_cursor: string | null } };
  const mine = await walk(
    (cursor) =>
      callerOf(service.url, miner).call(minersRoutes.me, { query: { limit: 500, cursor } }) as never,
  );
  expect(new Set(mine).size).toBe(count);
  const everybody = await walk(
    (cursor) =>
      callerOf(service.url, null).call(minersRoutes.list, { query: { limit: 500, cursor } }) as never,
  );
  expect(everybody).toEqual(mine);
});

test('what three statements in a row do not name is told to jobs; what is no statement says nothing', async () => {
  const toJobs = peers.listen('jobs');
  const { body } = await register({ concurrency: 8 });
  const abandoned = () =>
    toJobs.flatMap((message) => (message.name === 'miners.attempts_abandoned' ? [message.payload] : []));
  const [held, lost] = [newId(), newId()];
  await started(held, body.id);
  await started(lost, body.id);
  await eventually(async () => (await me())[0]?.inflight === 2);

  const silent = () =>
    callerOf(service.url, miner).call(minersRoutes.heartbeat, { body: { miner_id: body.id } });
  const turns = async (send: () => Promise<unknown>, count: number) => {
    for (let turn = 0; turn < count; turn += 1) {
      await send();
      skewMs += 5_000;
    }
  };
  // Alive, and nothing of its jobs: as long as it likes.
  await turns(silent, 6);
  // Named in each, or in the last of three.
  await turns(() => beat({ inflight: [held, lost], attempts: [1, 1] }), 4);
  await turns(() => beat({ inflight: [held] }), 2);
  await beat({ inflight: [held, lost] });
  // Three, but all within a moment: they may be older than the poll's answer.
  for (let turn = 0; turn < 5; turn += 1) await beat({ inflight: [held] });
  expect((await beat({ inflight: [held, lost] })).body).toMatchObject({ next_heartbeat_seconds: 5 });
  expect(abandoned()).toEqual([]);

  await turns(() => beat({ inflight: [held], attempts: [1] }), 3);
  await eventually(() => abandoned().length === 1);
  // The list, and an earlier attempt in it: the one that counts as running is not named.
  await turns(() => beat({ inflight: [held, lost], attempts: [2, 1] }), 3);
  await eventually(() => abandoned().length === 2);
  expect(abandoned()).toEqual([
    { miner_id: body.id, attempts: [{ job_id: lost, attempt: 1 }] },
    { miner_id: body.id, attempts: [{ job_id: held, attempt: 1 }] },
  ]);
});

const registerAs = (instance_id: string, name = 'box') =>
  callerOf(service.url, miner).call(minersRoutes.register, { body: registration({ instance_id, name }) });
const FIRST = 'instance-one';
const SECOND = 'instance-two';
const inUse = { ok: false, status: 409, body: { error: { code: 'MINER_NAME_IN_USE' } } };

test('a second living agent under one name is refused, and neither disturbs the other', async () => {
  expect(await registerAs(FIRST)).toMatchObject({ status: 201 });
  expect(await registerAs(SECOND)).toMatchObject(inUse);
  const [box] = await me();
  const miner_id = box?.id as string;
  expect(await beat({ miner_id, instance_id: FIRST })).toMatchObject({ status: 200 });
  expect(await beat({ miner_id, instance_id: SECOND })).toMatchObject(inUse);
  // Who lives is still known after a restart of ours, until it had the time to beat.
  await service.stop();
  service = await start();
  expect(await registerAs(SECOND)).toMatchObject(inUse);
  expect(await registerAs(FIRST)).toMatchObject({ status: 200 });
  // Another name is another miner, and an agent that names no instance is not looked at.
  expect(await registerAs(SECOND, 'other')).toMatchObject({ status: 201 });
  expect(await register({ name: 'box' })).toMatchObject({ status: 200 });
});

test('an agent that was killed leaves its name within seconds; one that was cut off learns that it lost it', async () => {
  const { body } = (await registerAs(FIRST)) as { body: { id: string } };
  const process = new AbortController();
  const lastBeat = async () => Date.parse((await me())[0]?.last_heartbeat as string);
  const before = await lastBeat();
  skewMs += 1_000;
  const held = beat({ miner_id: body.id, instance_id: FIRST, wait_seconds: 25 }, miner, process.signal);
  held.catch(() => {});
  // It was heard, before the other asks.
  await eventually(async () => (await lastBeat()) >= before + 1_000);
  skewMs += 11_000;
  await eventually(async () => expect(await registerAs(SECOND)).toMatchObject(inUse));
  process.abort();
  await eventually(async () => {
    skewMs += 200;
    return expect(await registerAs(SECOND)).toMatchObject({ status: 200 });
  });
  expect(skewMs).toBeLessThan(12_000 + 10_000);
  expect(await beat({ miner_id: body.id, instance_id: FIRST })).toMatchObject(inUse);
  expect(await beat({ miner_id: body.id, instance_id: SECOND })).toMatchObject({ status: 200 });
});

test('a held beat is answered the moment that a job of the miner is cancelled, whether it names it or not', async () => {
  const { body } = await register();
  const jobId = newId();
  const at = performance.now();
  const held = beat({ miner_id: body.id, wait_seconds: 25 });
  await started(jobId, body.id);
  await ended(jobId, body.id, 'cancelled');
  expect(await held).toMatchObject({ body: { cancel: [jobId], drop: [] } });
  expect(performance.now() - at).toBeLessThan(5_000);
  // And when we stop, at once too.
  const last = beat({ miner_id: body.id, wait_seconds: 25 });
  const stopping = performance.now();
  await eventually(async () => expect(await me()).toHaveLength(1));
  await service.stop();
  expect(await last).toMatchObject({ status: 200 });
  expect(performance.now() - stopping).toBeLessThan(5_000);
  service = await start();
});

test('what an agent says of itself stands on its owner’s page, and is news to nobody else', async () => {
  const heard = peers.listen('jobs');
  const { body } = await register({ status_note: 'llm_inference is not offered: the key was refused' });
  await eventually(() => expect(heard).toHaveLength(1));
  expect(await me()).toMatchObject([{ status_note: expect.stringContaining('the key was refused') }]);
  await register();
  expect(await me()).toMatchObject([{ status_note: null, idle_reason: 'no_matching_jobs' }]);
  await register({ capabilities: [] });
  expect(await me()).toMatchObject([{ capabilities: [], idle_reason: 'nothing_offered' }]);
  await eventually(() => expect(heard).toHaveLength(2));
  expect(heard.at(-1)?.payload).toMatchObject({ miner_id: body.id, revision: 2, capabilities: [] });
});

test('a lease that was given back is dropped by who still has it, and counts for nothing', async () => {
  const { body } = await register();
  const jobId = newId();
  await started(jobId, body.id);
  await ended(jobId, body.id, 'returned');
  await eventually(async () =>
    expect((await beat({ inflight: [jobId], attempts: [1] })).body).toMatchObject({
      drop: [jobId],
      cancel: [],
    }),
  );
  // It came back: the same job again, and no reason to stop.
  expect((await beat({ inflight: [jobId], attempts: [2] })).body).toMatchObject({ drop: [], cancel: [] });
  expect(await me()).toMatchObject([{ jobs_failed: 0, jobs_lost: 0, reputation: 0.5 }]);
});
