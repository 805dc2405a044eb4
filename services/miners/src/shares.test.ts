import { getEventListeners, setMaxListeners } from 'node:events';
import { createParameters, openStore, type Store } from '@aitbc/chassis';
import { JOB_TYPE_NAMES, type MinerRegistration, newId } from '@aitbc/contracts';
import { eventually, scratchDatabase, someone, sqliteOnly } from '@aitbc/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { ATTRIBUTES_PER_ACCOUNT_MAX } from './attributes.ts';
import { register } from './commands/index.ts';
import { createRoster, type Roster } from './roster.ts';
import { createHandlers } from './routes.ts';
import { weightOfMiners } from './store/index.ts';

let store: Store;
let roster: Roster;
let nowMs: number;
const greedy = someone(['miner']);

beforeEach(async () => {
  nowMs = 1_800_000_000_000;
  roster = createRoster();
  store = await openStore({
    url: scratchDatabase('miners'),
    service: 'miners',
    migrations,
  });
});
afterEach(() => store.close());

const enrol = (name: string, changes: Partial<MinerRegistration> = {}, who = greedy) =>
  store.transact('test', (trx) =>
    register(
      trx,
      roster,
      who,
      { address: 'a', capabilities: ['ocr'], gpus: [], models: [], concurrency: 1, name, ...changes },
      nowMs,
    ),
  );
/** As much as one registration can say. */
const all = (mark: string): Partial<MinerRegistration> => ({
  capabilities: [...JOB_TYPE_NAMES],
  models: Array.from({ length: 500 }, (_, index) => `${mark}-${index}-`.padEnd(200, 'm')),
  gpus: Array.from({ length: 64 }, (_, index) => ({ model: `${mark}-${index}`, vram_gb: 1, count: 1 })),
});
/** Registers until it is refused. @returns how often it was taken. */
const fill = async (one: (index: number) => Promise<unknown>): Promise<number> => {
  for (let index = 0; index < 1_000; index += 1) {
    try {
      await one(index);
    } catch (error) {
      expect(error).toMatchObject({
        code: 'TOO_MANY_ATTRIBUTES',
        details: { limit_bytes: ATTRIBUTES_PER_ACCOUNT_MAX },
        retryAfterSeconds: expect.any(Number),
      });
      return index;
    }
  }
  return 1_000;
};
const later = (seconds: number) => {
  nowMs += seconds * 1_000;
};

test('what the miners of an account list is bounded by its sum, and only for that account', async () => {
  const count = await fill((index) => {
    later(10);
    return enrol(`m${index}`, all(`m${index}`));
  });
  expect(count).toBeGreaterThan(10);
  expect(count).toBeLessThan(100);
  later(600);
  await expect(enrol('one more', all('more'))).rejects.toMatchObject({ code: 'TOO_MANY_ATTRIBUTES' });
  // What stands is told again, another account has its own, and who lists less makes room.
  expect((await enrol('m0', all('m0'))).isNew).toBe(false);
  expect((await enrol('m0', all('another'), someone(['miner']))).isNew).toBe(true);
  await enrol('m1', { models: [] });
  await enrol('one more', all('more'));
  expect(await weightOfMiners(store.read, greedy.account_id)).toBeLessThanOrEqual(ATTRIBUTES_PER_ACCOUNT_MAX);
});

test('names of one letter weigh what the index makes of them, not what they are long', async () => {
  const letters = Array.from({ length: 500 }, (_, index) => String.fromCodePoint(0x4e00 + index));
  const count = await fill((index) => {
    later(10);
    return enrol(`m${index}`, { capabilities: [...JOB_TYPE_NAMES], models: letters });
  });
  expect(count).toBeLessThan(100);
});

test('one miner that lists something else each time is told to wait; the same again costs nothing', async () => {
  const count = await fill((index) => enrol('m', all(`v${index}`)));
  expect(count).toBeGreaterThan(10);
  expect(count).toBeLessThan(100);
  for (let again = 0; again < 200; again += 1) await enrol('m', all(`v${count - 1}`));
  later(150);
  expect(await fill((index) => enrol('m', all(`w${index}`)))).toBeGreaterThan(10);
});

test('a fleet of 1,000 that does not list everything has room, all at once', async () => {
  const models = Array.from({ length: 20 }, (_, index) => `some-model-with-a-usual-name-${index}:8b`);
  const capabilities = ['llm_inference', 'embedding', 'custom'];
  await Promise.all(
    Array.from({ length: 1_000 }, (_, index) => enrol(`m${index}`, { capabilities, models })),
  );
});

sqliteOnly('files of releases that knew SQLite alone').test(
  'a file of the release before is weighed as the miners weigh themselves',
  async () => {
    const { '0005-weight': weight, ...before } = migrations.sqlite;
    const url = scratchDatabase('miners');
    const insert = (where: Store, columns: string, values: string) =>
      where.transact('test', (trx) =>
        trx.run({
          compile: () =>
            ({
              sql: `INSERT INTO miner (id, account_id, name, address, capabilities, gpus, models, price_per_job_minor,
              concurrency, status, revision, seen_at_ms, created_at_ms${columns}) VALUES (${values})`,
              parameters: [],
            }) as never,
        }),
      );
    const old = await openStore({
      url,
      service: 'miners',
      migrations: before,
    });
    await insert(
      old,
      '',
      `'m', 'a', 'm', 'ä', '["ocr","custom"]', '[{"model":"A","vram_gb":1,"count":1}]', '["x","y"]', 0, 1, 'active', 1, 1, 1`,
    );
    await old.close();
    const now = await openStore({
      url,
      service: 'miners',
      migrations,
    });
    const whole = await enrol('m', {
      address: 'ä',
      capabilities: ['ocr', 'custom'],
      gpus: [{ model: 'A', vram_gb: 1, count: 1 }],
      models: ['x', 'y'],
    });
    expect(weight).toBeDefined();
    expect(await weightOfMiners(now.read, 'a')).toBe(whole.miner.weight);
    await now.close();
  },
);

test('heartbeats held are bounded for each account; one beyond is heard, and told so', async () => {
  const parameters = await createParameters(store, 'miners');
  // Beats are held longer then: on a busy machine two thousand are not there within 13 s.
  const slow = { name: 'heartbeat_timeout_seconds', value: 300, version: 1, proposal_id: newId() };
  await store.transact('test', (trx) => parameters.apply(trx, slow as never));
  const { heartbeat } = createHandlers({ store, roster, parameters, now: () => nowMs });
  const { id: miner_id } = (await enrol('m')).miner;
  const other = (await enrol('m', {}, someone(['miner']))).miner;
  const leaving = new AbortController();
  const beat = async (caller: { account_id: string }, id: string, wait_seconds: number) =>
    heartbeat({
      caller,
      body: { miner_id: id, inflight: [], wait_seconds },
      signal: leaving.signal,
    } as never);
  setMaxListeners(3_000, leaving.signal);
  const held: ReturnType<typeof beat>[] = [];
  // Each asks the database first, and that takes so many at once.
  while (held.length < 2_000) {
    held.push(...Array.from({ length: 50 }, () => beat(greedy, miner_id, 100)));
    await eventually(() => getEventListeners(leaving.signal, 'abort').length === held.length);
  }
  later(5);
  await expect(beat(greedy, miner_id, 100)).rejects.toMatchObject({
    code: 'TOO_MANY_POLLS',
    details: { limit: 2_000 },
    retryAfterSeconds: 5,
  });
  expect(roster.get(miner_id)?.seenAtMs).toBe(nowMs);
  expect(await beat(greedy, miner_id, 0)).toMatchObject({ status: 200 });
  const others = beat({ account_id: other.account_id }, other.id, 100);
  leaving.abort();
  expect((await Promise.all([...held, others])).every((answer) => answer?.status === 200)).toBe(true);
  // What was given back is there again.
  expect(await beat(greedy, miner_id, 13)).toMatchObject({ status: 200 });
});
