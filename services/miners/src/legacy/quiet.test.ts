import { createListeners, createParameters, DAY_MS, openStore, type Store } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { scratchDatabase, someone } from '@aitbc/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrations } from '../../migrations/index.ts';
import { register } from '../commands/index.ts';
import { createConsumers } from '../consumers.ts';
import { createRoster, type Roster } from '../roster.ts';
import { createJudge } from '../schedule.ts';
import { allPresences, findMiner } from '../store/index.ts';

// A program of the original coordinator is one thread: it gives no sign while its model server thinks.

const miner = someone(['miner']);
let url: string;
let store: Store;
let roster: Roster;
let consumers: ReturnType<typeof createConsumers>;
let judge: () => Promise<void>;
let nowMs: number;

const begin = async () => {
  store = await openStore({ url, service: 'miners', migrations });
  roster = createRoster();
  for (const known of await allPresences(store.read)) roster.set(known, 0);
  const parameters = await createParameters(store, 'miners');
  const listeners = await createListeners(store);
  consumers = createConsumers({ roster, parameters, listeners, now: () => nowMs, keptMs: DAY_MS });
  judge = createJudge({ store, roster, parameters, listeners, hears: () => true, now: () => nowMs });
};
beforeEach(async () => {
  url = scratchDatabase('miners');
  nowMs = 1_800_000_000_000;
  await begin();
});
afterEach(() => store.close());

const enrol = async () => {
  const body = { address: 'a', capabilities: ['custom'], gpus: [], models: [], concurrency: 1, name: 'a' };
  return (await store.transact('test', (trx) => register(trx, roster, miner, body, nowMs, 'alias'))).miner.id;
};
const start = (miner_id: string, quietMs?: number) => {
  const job_id = newId();
  const started = {
    job_id,
    miner_id,
    miner_account_id: miner.account_id,
    attempt: 1,
    deadline_at_ms: nowMs + 3_600_000,
    ...(quietMs === undefined ? {} : { quiet_until_ms: nowMs + quietMs }),
  };
  return store.transact('test', async (trx) => consumers['jobs.started'](trx, started)).then(() => job_id);
};
const statusAfter = async (id: string, ms: number) => {
  for (let passed = 0; passed < ms; passed += 1_000) {
    nowMs += 1_000;
    await judge();
  }
  return (await findMiner(store.read, id))?.status;
};

test('it counts as there while it works without a sign, to the end of its time and no longer', async () => {
  const id = await enrol();
  await start(id, 60_000);
  expect(await statusAfter(id, 50_000)).toBe('active');
  // Also by a process that has just started.
  await store.close();
  await begin();
  expect(await statusAfter(id, 9_000)).toBe('active');
  expect(await statusAfter(id, 32_000)).toBe('inactive');
});

test('its result ends that time: idle, it has to give signs as all others', async () => {
  const id = await enrol();
  const job_id = await start(id, 300_000);
  expect(await statusAfter(id, 40_000)).toBe('active');
  await store.transact('test', (trx) =>
    consumers['jobs.attempt_ended'](trx, { job_id, miner_id: id, attempt: 1, outcome: 'completed' }),
  );
  expect(await statusAfter(id, 2_000)).toBe('inactive');
});

test('who was not given the job that way has to give signs', async () => {
  const id = await enrol();
  await start(id);
  expect(await statusAfter(id, 32_000)).toBe('inactive');
});
