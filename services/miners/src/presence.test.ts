import {
  builder,
  type ChassisTables,
  createListeners,
  createParameters,
  DAY_MS,
  openStore,
  type Store,
} from '@aitbc/chassis';
import { type MinerRegistration, newId, type Payload } from '@aitbc/contracts';
import { messagesOf, scratchDatabase, someone } from '@aitbc/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { register, tellReputation } from './commands/index.ts';
import { createConsumers } from './consumers.ts';
import { ATTEMPT, type AttemptEvent, type AttemptState } from './domain.ts';
import { createRoster, type Roster } from './roster.ts';
import { createFlush, createJudge } from './schedule.ts';
import {
  allPresences,
  attemptsDue,
  attemptsOf,
  dropAttempts,
  findMiner,
  findReputation,
  inflightOf,
} from './store/index.ts';

const TIMEOUT_MS = 30_000;
const db = builder<ChassisTables>();
const miner = someone(['miner']);

let url: string;
let store: Store;
let roster: Roster;
let consumers: ReturnType<typeof createConsumers>;
let judge: () => Promise<void>;
let nowMs: number;
let isHearing: boolean;

/** The service's parts as after a start, at the present `nowMs`. */
const begin = async () => {
  store = await openStore({ url, service: 'miners', migrations });
  roster = createRoster();
  for (const known of await allPresences(store.read)) roster.set(known, 0);
  const parameters = await createParameters(store, 'miners');
  const listeners = await createListeners(store);
  consumers = createConsumers({ roster, parameters, listeners, now: () => nowMs, keptMs: DAY_MS });
  judge = createJudge({ store, roster, parameters, listeners, hears: () => isHearing, now: () => nowMs });
};
beforeEach(async () => {
  url = scratchDatabase('miners');
  nowMs = 1_800_000_000_000;
  isHearing = true;
  await begin();
});
afterEach(() => store.close());

const enrol = (name: string, changes: Partial<MinerRegistration> = {}) =>
  store.transact('test', (trx) =>
    register(
      trx,
      roster,
      miner,
      { address: 'a', capabilities: ['ocr'], gpus: [], models: [], concurrency: 1, name, ...changes },
      nowMs,
    ),
  );
const status = async (id: string) => (await findMiner(store.read, id))?.status;
/** Time passes as it does in life: the judge comes each second. */
const pass = async (ms: number) => {
  for (let passed = 0; passed < ms; passed += 1_000) {
    nowMs += 1_000;
    await judge();
  }
};
const toldWhole = async () =>
  (
    await store.read.all(
      db.selectFrom('outbox').select('messages').where('destination', '=', 'jobs').orderBy('seq'),
    )
  )
    .flatMap(messagesOf)
    .map(({ payload }) => payload as Payload<'miners.changed'>);
const told = async () =>
  (await toldWhole()).map(({ miner_id, revision, status }) => ({ miner_id, revision, status }));
const seen = (miner_ids: string[], seen_at_ms: number) =>
  store.transact('test', (trx) => consumers['jobs.miners_seen'](trx, { miner_ids, seen_at_ms }));

test('active to the last millisecond of the timeout, inactive after it, each told once', async () => {
  const { id } = (await enrol('a')).miner;
  await pass(TIMEOUT_MS);
  expect(await status(id)).toBe('active');
  await pass(1_000);
  expect(await status(id)).toBe('inactive');
  await pass(60_000);
  expect(await told()).toEqual([
    { miner_id: id, revision: 1, status: 'active' },
    { miner_id: id, revision: 2, status: 'inactive' },
  ]);
});

test('polls keep alive and bring back; a late word of them brings nobody back', async () => {
  const { id } = (await enrol('a')).miner;
  for (let turn = 0; turn < 5; turn += 1) {
    await pass(20_000);
    await seen([newId(), id], nowMs);
  }
  expect(await status(id)).toBe('active');
  await pass(TIMEOUT_MS + 1_000);
  expect(await status(id)).toBe('inactive');
  await seen([id], nowMs - TIMEOUT_MS);
  expect(await status(id)).toBe('inactive');
  // Said twice, heard twice: one return.
  await Promise.all([seen([id], nowMs), seen([id], nowMs)]);
  expect(await status(id)).toBe('active');
  expect((await told()).map(({ revision }) => revision)).toEqual([1, 2, 3]);
});

test('a clock of jobs that runs ahead keeps nobody alive longer', async () => {
  const { id } = (await enrol('a')).miner;
  await seen([id], nowMs + 3_600_000);
  await pass(TIMEOUT_MS + 1_000);
  expect(await status(id)).toBe('inactive');
});

test('registering again brings back', async () => {
  const { id } = (await enrol('a')).miner;
  await pass(TIMEOUT_MS + 1_000);
  expect((await enrol('a')).miner).toMatchObject({ id, status: 'active', revision: 3 });
  await pass(TIMEOUT_MS);
  expect(await status(id)).toBe('active');
});

test('a miner heard while the judge waits for its transaction is not marked', async () => {
  const { id } = (await enrol('a')).miner;
  await pass(TIMEOUT_MS);
  nowMs += 1_000;
  const judging = judge();
  const present = roster.get(id);
  if (present !== undefined) roster.seen(present, nowMs);
  await judging;
  expect(await status(id)).toBe('active');
});

test('silence does not count while nobody could be heard: start, sleep, Redis away', async () => {
  const { id } = (await enrol('a')).miner;
  await store.close();
  nowMs += 3_600_000;
  await begin();
  await pass(TIMEOUT_MS);
  expect(await status(id)).toBe('active');

  nowMs += 3_600_000;
  await pass(TIMEOUT_MS);
  expect(await status(id)).toBe('active');

  isHearing = false;
  await pass(300_000);
  isHearing = true;
  await pass(TIMEOUT_MS);
  expect(await status(id)).toBe('active');
  await pass(1_000);
  expect(await status(id)).toBe('inactive');
});

test('last seen reaches the file by the flush, in bounded batches, and only of those who were seen', async () => {
  await Promise.all(Array.from({ length: 600 }, (_, index) => enrol(`m${index}`)));
  nowMs += 5_000;
  const all = [...roster.all()];
  const loud = all.slice(0, 550);
  for (const present of loud) roster.seen(present, nowMs);
  const names: string[] = [];
  const counting: Store = {
    ...store,
    transact: (name, fn) => {
      names.push(name);
      return store.transact(name, fn);
    },
  };
  const flush = createFlush(counting, roster);
  await flush();
  expect(names).toEqual(['miners.flush', 'miners.flush']);
  expect((await allPresences(store.read)).filter(({ seen_at_ms }) => seen_at_ms === nowMs)).toHaveLength(550);
  await flush();
  expect(names).toHaveLength(2);
});

test('an account has 1,000 miners at most; one that is long gone and idle makes room', async () => {
  const ids: string[] = [];
  for (let index = 0; index < 1_000; index += 50) {
    const some = await Promise.all(Array.from({ length: 50 }, (_, each) => enrol(`m${index + each}`)));
    ids.push(...some.map((each) => each.miner.id));
  }
  await expect(enrol('more')).rejects.toMatchObject({ code: 'MINER_LIMIT_REACHED' });
  expect((await enrol('m7', { region: 'us' })).isNew).toBe(false);
  await pass(TIMEOUT_MS + 1_000);
  await expect(enrol('more')).rejects.toMatchObject({ code: 'MINER_LIMIT_REACHED' });
  // The first still holds a job by all that is known, so the second leaves.
  await store.transact('test', (trx) =>
    consumers['jobs.started'](trx, {
      job_id: newId(),
      miner_id: ids[0] as string,
      miner_account_id: miner.account_id,
      attempt: 1,
      deadline_at_ms: nowMs,
    }),
  );
  nowMs += 25 * 3_600_000;
  expect((await enrol('more')).isNew).toBe(true);
  expect(await status(ids[0] as string)).toBe('inactive');
  expect(await status(ids[1] as string)).toBeUndefined();
  expect(roster.get(ids[1] as string)).toBeUndefined();
  expect(roster.count()).toBe(1_000);
});

const started = (job_id: string, miner_id: string, attempt = 1) =>
  store.transact('test', (trx) =>
    consumers['jobs.started'](trx, {
      job_id,
      miner_id,
      miner_account_id: miner.account_id,
      attempt,
      deadline_at_ms: nowMs + 300_000,
    }),
  );
const ended = (
  job_id: string,
  miner_id: string,
  outcome: Payload<'jobs.attempt_ended'>['outcome'],
  attempt = 1,
  client_account_id: string = newId(),
) =>
  store.transact('test', (trx) =>
    consumers['jobs.attempt_ended'](trx, { job_id, miner_id, attempt, outcome, client_account_id }),
  );

const paid = (miner_id: string, payer_account_id: string, earned_minor: number, payee = miner.account_id) =>
  store.transact('test', (trx) =>
    consumers['payments.resolved'](trx, {
      payment_id: newId(),
      job_id: newId(),
      kind: 'released',
      payer_account_id,
      payee_account_id: payee,
      miner_id,
      earned_minor,
    }),
  );
const announced = async (accountId = miner.account_id) =>
  (await findReputation(store.read, accountId))?.announced ?? 0.5;

test('others are told of a reputation that moved noticeably, not of each job', async () => {
  const { id } = (await enrol('a')).miner;
  const client = newId();
  for (let turn = 0; turn < 20; turn += 1) await paid(id, client, 10_000_000);
  for (let turn = 0; turn < 20; turn += 1) await ended(newId(), id, 'completed', 1, client);
  expect(await announced()).toBeGreaterThan(0.6);
  expect((await toldWhole()).at(-1)?.reputation).toBe(await announced());
  expect((await told()).length).toBeGreaterThan(1);
  expect((await told()).length).toBeLessThan(10);
  const before = (await told()).length;
  await ended(newId(), id, 'cancelled', 1, client);
  expect(await told()).toHaveLength(before);
  await ended(newId(), id, 'lost', 1, client);
  expect((await told()).length).toBeGreaterThan(before);
  expect((await told()).map(({ revision }) => revision)).toEqual((await told()).map((_, index) => index + 1));
  expect(await findMiner(store.read, id)).toMatchObject({ jobs_completed: 20, jobs_lost: 1, jobs_failed: 0 });
});

test('own jobs and unpaid jobs make no reputation', async () => {
  const { id } = (await enrol('a')).miner;
  for (let turn = 0; turn < 224; turn += 1) await ended(newId(), id, 'completed', 1, miner.account_id);
  for (let turn = 0; turn < 50; turn += 1) await ended(newId(), id, 'completed', 1, newId());
  for (let turn = 0; turn < 50; turn += 1) await paid(id, miner.account_id, 1_000_000_000);
  for (let turn = 0; turn < 50; turn += 1) await ended(newId(), id, 'lost', 1, miner.account_id);
  expect(await findReputation(store.read, miner.account_id)).toBeUndefined();
});

test('a new name begins where the account stands, and all names of it move together', async () => {
  const first = (await enrol('a')).miner;
  for (let turn = 0; turn < 20; turn += 1) await ended(newId(), first.id, 'lost', 1, newId());
  const low = await announced();
  expect(low).toBeLessThan(0.36);
  const second = (await enrol('b')).miner;
  expect((await toldWhole()).at(-1)).toMatchObject({ miner_id: second.id, reputation: low });
  for (const client of [newId(), newId()])
    for (let turn = 0; turn < 10; turn += 1) await paid(second.id, client, 100_000_000);
  expect(await announced()).toBeGreaterThan(low + 0.2);
  const lastOf = async (id: string) =>
    (await toldWhole()).findLast(({ miner_id }) => miner_id === id)?.reputation;
  expect(await lastOf(first.id)).toBe(await announced());
  expect(await lastOf(second.id)).toBe(await announced());
});

test('an account of many miners is told of a part at a time', async () => {
  const ids: string[] = [];
  for (let index = 0; index < 45; index += 1) ids.push((await enrol(`m${index}`)).miner.id);
  const before = (await told()).length;
  await ended(newId(), ids[0] as string, 'lost', 1, newId());
  expect((await told()).length - before).toBe(20);
  await store.transact('test', (trx) => tellReputation(trx, miner.account_id));
  await store.transact('test', (trx) => tellReputation(trx, miner.account_id));
  await store.transact('test', (trx) => tellReputation(trx, miner.account_id));
  expect((await told()).length - before).toBe(45);
  expect(new Set((await told()).slice(before).map(({ miner_id }) => miner_id)).size).toBe(45);
});

test('of a miner or job that nobody knows here, nothing breaks and nothing is told', async () => {
  await started(newId(), newId());
  await ended(newId(), newId(), 'lost');
  expect(await told()).toEqual([]);
});

test('what is over is forgotten: reports soon, jobs taken away after a day, the lost end of one after its deadline', async () => {
  const { id } = (await enrol('a')).miner;
  const [done, taken, running] = [newId(), newId(), newId()] as [string, string, string];
  await started(done, id);
  await ended(done, id, 'completed');
  await started(taken, id);
  await ended(taken, id, 'lost');
  await started(running, id);
  const known = async () => {
    const attempts = await Promise.all([done, taken, running].map((job) => attemptsOf(store.read, job)));
    return [done, taken, running].filter((_, index) => attempts[index]?.length !== 0);
  };
  const forget = async () => {
    const due = await attemptsDue(store.read, nowMs, 500);
    await store.transact('test', (trx) => dropAttempts(trx, due));
    return due.length;
  };
  expect(await forget()).toBe(0);
  nowMs += 16 * 60_000;
  expect(await forget()).toBe(1);
  expect(await known()).toEqual([taken, running]);
  nowMs += 24 * 3_600_000;
  expect(await forget()).toBe(2);
  expect(await known()).toEqual([]);
  expect(await inflightOf(store.read, id)).toBe(0);
});

test('what is written of an attempt follows the table of its states, whatever was known', async () => {
  const { id } = (await enrol('a')).miner;
  const play: Record<AttemptEvent, (job: string) => Promise<void>> = {
    started: (job) => started(job, id),
    ended: (job) => ended(job, id, 'completed'),
    // A later attempt is heard of.
    overtaken: (job) => started(job, id, 2),
  };
  const before: Record<AttemptState | 'unknown', AttemptEvent[]> = {
    unknown: [],
    running: ['started'],
    overtaken: ['started', 'overtaken'],
    ended: ['started', 'ended'],
  };
  for (const [state, events] of Object.entries(before) as [AttemptState | 'unknown', AttemptEvent[]][])
    for (const event of ['started', 'overtaken', 'ended'] as const) {
      const job = newId();
      for (const earlier of events) await play[earlier](job);
      await play[event](job);
      const found = (await attemptsOf(store.read, job)).find(({ attempt }) => attempt === 1)?.state;
      const next = ATTEMPT[state][event];
      expect([state, event, found ?? 'unknown']).toEqual([state, event, next === 'ignore' ? state : next]);
    }
  // Heard of after a later one it is over already.
  const job = newId();
  await started(job, id, 2);
  await started(job, id, 1);
  expect((await attemptsOf(store.read, job)).find(({ attempt }) => attempt === 1)?.state).toBe('overtaken');
});

test('an attempt whose end is heard while it is being forgotten stays for as long as its end is kept', async () => {
  const { id } = (await enrol('a')).miner;
  const job = newId();
  await started(job, id);
  nowMs += 3 * DAY_MS;
  const due = await attemptsDue(store.read, nowMs, 10);
  expect(due).toMatchObject([{ job_id: job }]);
  await ended(job, id, 'lost');
  await store.transact('test', (trx) => dropAttempts(trx, due));
  expect(await attemptsOf(store.read, job)).toMatchObject([{ state: 'ended' }]);
});
