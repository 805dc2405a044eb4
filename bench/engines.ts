import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { builder, hot, openStore, type Params, type Store, type Trx } from '@aitbc/chassis';
import { startPostgres } from '../libs/testing/src/postgres.ts';

// How many functions of 20 statements a second each engine commits: node bench/engines.ts

const SECONDS = 5;
const CALLERS = [1, 16, 64];
const ACCOUNTS = 1_000;

const db = builder<{ account: { id: number; balance: number } }>();
const find = hot((p: Params<{ id: number }>) =>
  db.selectFrom('account').select('balance').where('id', '=', p('id')),
);
const add = hot((p: Params<{ id: number; delta: number }>) =>
  db
    .updateTable('account')
    .set((eb) => ({ balance: eb('balance', '+', p('delta')) }))
    .where('id', '=', p('id')),
);
const insert = hot((p: Params<{ id: number }>) =>
  db.insertInto('account').values({ id: p('id'), balance: 0 }),
);

/** Ten reads, ten writes. */
const work = async (trx: Trx): Promise<void> => {
  for (let n = 0; n < 10; n += 1) {
    const id = Math.floor(Math.random() * ACCOUNTS);
    await trx.get(find, { id });
    await trx.run(add, { id, delta: n % 2 === 0 ? 1 : -1 });
  }
};

const measure = async (store: Store, callers: number): Promise<number> => {
  const until = performance.now() + SECONDS * 1_000;
  let done = 0;
  const caller = async (): Promise<void> => {
    while (performance.now() < until) {
      await store.transact('work', work);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return Math.round(done / SECONDS);
};

const server = await startPostgres();
for (const url of [
  `sqlite:///${join(mkdtempSync(join(tmpdir(), 'bench-engines-')), 'bench.db')}`,
  await server.database(),
]) {
  const store = await openStore({ url, service: 'bench', migrations: { sqlite: {}, postgres: {} } });
  await store.transact('create', (trx) =>
    trx.run(
      { sql: 'CREATE TABLE account (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)', bind: () => [] },
      {},
    ),
  );
  for (let id = 0; id < ACCOUNTS; id += 100)
    await store.transact('fill', async (trx) => {
      for (let n = 0; n < 100; n += 1) await trx.run(insert, { id: id + n });
    });
  const figures = [];
  for (const callers of CALLERS) figures.push(`${callers} callers ${await measure(store, callers)}/s`);
  console.log(`${url.startsWith('sqlite') ? 'SQLite' : 'PostgreSQL'}: ${figures.join(', ')}`);
  await store.close();
}
await server.stop();
process.exit(0);
