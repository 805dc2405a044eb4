import { setTimeout as pause } from 'node:timers/promises';
import { openStore, type Store, type Trx } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { hasPostgres, type PostgresServer, startPostgres } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { createConsumers } from './consumers.ts';
import { createRoster } from './roster.ts';
import { createJudge } from './schedule.ts';
import { countMiners, insertMiner } from './store/index.ts';
import { aMiner } from './testing/miner.ts';

const MINERS = 500;
/** To a server in another building, and back. */
const WAY_MS = 3;

let server: PostgresServer;
beforeAll(async () => {
  if (hasPostgres) server = await startPostgres();
});
afterAll(() => server?.stop());

/** The same store, farther away. */
const fartherAway = (store: Store): Store => {
  const slow = (trx: Trx): Trx =>
    new Proxy(trx, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (name !== 'get' && name !== 'all' && name !== 'run') return value;
        return async (...given: never[]) => {
          await pause(WAY_MS);
          return (value as (...all: never[]) => unknown)(...given);
        };
      },
    });
  return new Proxy(store, {
    get: (target, name) =>
      name === 'transact'
        ? (what: string, fn: (trx: Trx) => unknown) => target.transact(what, (trx) => fn(slow(trx)))
        : Reflect.get(target, name),
  });
};

test.skipIf(!hasPostgres)(
  'many that fall silent at once are marked, and heard again come back, also in a process far from its server',
  {
    timeout: 120_000,
  },
  async () => {
    const store = await openStore({ url: await server.database(), service: 'miners', migrations });
    const account_id = newId();
    const ids = Array.from({ length: MINERS }, newId);
    await store.transact('test.register', async (trx) => {
      for (let at = 0; at < MINERS; at += 1)
        await insertMiner(trx, aMiner({ id: ids[at] as string, account_id, name: `m${at}` }));
    });
    let nowMs = 1_000;
    const parts = {
      roster: createRoster({ isShared: true }),
      parameters: { get: () => 10 } as never,
      listeners: { has: () => false } as never,
      now: () => nowMs,
    };
    const far = fartherAway(store);
    const judge = createJudge({ ...parts, store: far, hears: () => true });
    for (; nowMs < 40_000; nowMs += 5_000) await judge();
    expect(await countMiners(store.read, 'inactive')).toBe(MINERS);
    const { 'jobs.miners_seen': hear } = createConsumers({ ...parts, keptMs: 1_000 });
    for (let told = 0; told < 10; told += 1)
      await far.transact('test.seen', (trx) => hear(trx, { miner_ids: ids, seen_at_ms: nowMs }));
    expect(await countMiners(store.read, 'active')).toBe(MINERS);
    await store.close();
  },
);
