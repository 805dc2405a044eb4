import { createServer, connect as dial, type Socket } from 'node:net';
import { eventually, freePort, hasPostgres, type PostgresServer, startPostgres } from '@aitbc/testing';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { chassisMigrations } from '../../migrations/index.ts';
import { sendAs } from '../../outbox/index.ts';
import { createParameters } from '../../parameters.ts';
import { builder } from '../../sql.ts';
import type { Store, Trx } from '../store.ts';
import { openPostgres } from './index.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const db = builder<{
  note: { text: string };
  outbox: { stream: string; destination: string; seq: number };
}>();
const migrations = {
  ...chassisMigrations.postgres,
  '0001-note': {
    up: async (kysely: Parameters<(typeof chassisMigrations.postgres)[string]['up']>[0]) => {
      await sql.raw('CREATE TABLE note (text TEXT PRIMARY KEY)').execute(kysely);
    },
  },
};
const slow = { withinMs: 30_000 };
const say = (trx: Trx) =>
  sendAs<'gateway'>()(trx, 'gateway.account_created', {
    account_id: '01890a5d-ac96-774b-bcce-b302099a8057',
    wallet_address: null,
  });
const raise = (code: string) => (trx: Trx) =>
  trx.run({ sql: `DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '${code}'; END $$`, bind: () => [] }, {});

describe.skipIf(!hasPostgres)('processes that share a schema', () => {
  let server: PostgresServer;
  let url: string;
  let stores: Store[];
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    url = await server.database();
    stores = [];
  });
  afterEach(() => Promise.all(stores.map((store) => store.close())));
  const open = async (lockWaitMs?: number): Promise<Store> => {
    const more = lockWaitMs === undefined ? {} : { lockWaitMs };
    const store = await openPostgres({ url, service: 'gateway', migrations, ...more });
    stores.push(store);
    return store;
  };
  const database = () => new URL(url).pathname.slice(1);
  /** Ends the writing connection of a store, as a network would. */
  const cut = (place: number) =>
    server.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND objid = ${place}`,
      database(),
    );

  test('they start at once, on an empty schema, and each has a place, a stream and the same identity', async () => {
    const all = await Promise.all([open(), open(), open()]);
    expect(all.map(({ place }) => place).sort()).toEqual([0, 1, 2]);
    expect(new Set(all.map(({ stream }) => stream)).size).toBe(3);
    expect(new Set(all.map(({ identity }) => identity)).size).toBe(1);
    expect(all.filter((store) => store.leads())).toHaveLength(1);
    const second = all.find(({ place }) => place === 1) as Store;
    const { stream } = second;
    await Promise.all([second.close(), second.close()]);
    expect(await open()).toMatchObject({ place: 1, stream });
  });

  test('who leads goes, and another leads', async () => {
    const [first, second] = [await open(), await open()];
    expect([first.leads(), second.leads()]).toEqual([true, false]);
    await first.close();
    await eventually(() => second.leads(), slow);
    expect(first.leads()).toBe(false);
  });

  test('a connection that is lost is opened anew with the same place, although nobody writes', async () => {
    const [first, second] = [await open(), await open()];
    const { stream } = second;
    const changes: number[] = [];
    second.streams.onChange(() => changes.push(second.streams.held().length));
    await cut(1);
    await eventually(() => changes.length >= 2, slow);
    expect(changes.slice(0, 2)).toEqual([0, 1]);
    expect(second).toMatchObject({ place: 1, stream });
    expect(first.streams.held()).toEqual([first.stream]);
  });

  test('a server that did not notice the end of a connection ends it when the next one comes', async () => {
    const port = await freePort();
    const ends = new Set<Socket>();
    const near = new Set<Socket>();
    const wire = createServer((socket) => {
      const far = dial(server.port, '127.0.0.1');
      for (const end of [socket, far]) ends.add(end.on('error', () => {}));
      near.add(socket);
      socket.on('data', (data) => far.write(data));
      far.on('data', (data) => socket.destroyed || socket.write(data));
    }).listen(port, '127.0.0.1');
    const store = await openPostgres({
      url: url.replace(`:${server.port}/`, `:${port}/`),
      service: 'gateway',
      migrations,
    });
    // The far ends stay, as where a host is gone.
    for (const socket of near) socket.destroy();
    await eventually(() => store.streams.held().length === 0, { ...slow, everyMs: 1 });
    await eventually(() => store.transact('a', say).then(() => true), slow);
    expect(store.place).toBe(0);
    await store.close();
    wire.close();
    for (const end of ends) end.destroy();
  });

  test('a place that somebody took meanwhile is left to him: another stream, numbered from one', async () => {
    const [, second] = [await open(), await open()];
    const { stream } = second;
    await second.transact('a', say);
    await second.transact('b', say);
    // Waits behind the one who has it, so that nobody else is quicker.
    const thief = new pg.Client({ connectionString: url });
    await thief.connect();
    const taken = thief.query(`SELECT pg_advisory_lock(hashtext('aitbc.place.gateway'), 1)`);
    await eventually(
      async () => (await server.sql('SELECT FROM pg_locks WHERE NOT granted', database())).length === 1,
      slow,
    );
    await cut(1);
    await taken;
    await eventually(() => second.place === 2, slow);
    await second.transact('c', say);
    const rows = await second.read.all(
      db.selectFrom('outbox').select(['stream', 'seq']).where('destination', '=', 'payments').orderBy('seq'),
    );
    expect(rows.filter((row) => row.stream === stream).map(({ seq }) => seq)).toEqual([1, 2]);
    expect(rows.filter((row) => row.stream === second.stream).map(({ seq }) => seq)).toEqual([1]);
    await thief.end();
  });

  test('numbers of a stream are known from one transaction to the next, and looked up after what was undone', async () => {
    const store = await open();
    await store.transact('a', say);
    await store.transact('b', async (trx) => {
      expect(trx.counters.get('outbox:payments')).toBe(1);
      await trx.savepoint(() => say(trx).then(() => Promise.reject(new Error('no')))).catch(() => {});
      expect(trx.counters.size).toBe(0);
      await say(trx);
    });
    await store.transact('c', (trx) => say(trx).then(() => Promise.reject(new Error('no')))).catch(() => {});
    await store.transact('d', say);
    const rows = await store.read.all(
      db.selectFrom('outbox').select('seq').where('destination', '=', 'payments').orderBy('seq'),
    );
    expect(rows.map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });

  test('what a dead process left is adopted by the one that leads, and let go', async () => {
    const [first, second] = [await open(), await open()];
    await second.transact('a', say);
    const { stream } = second;
    await second.close();
    await eventually(async () => {
      await first.streams.adopt();
      return first.streams.held().length === 2;
    }, slow);
    expect(first.streams.held()).toEqual([first.stream, stream]);
    // Meanwhile it is not for another one.
    expect(await open()).toMatchObject({ place: 2 });
    await first.streams.release(stream);
    expect(await open()).toMatchObject({ place: 1, stream });
  });

  test('two that write to different rows are no conflict, though both send', async () => {
    const [first, second] = [await open(), await open()];
    await Promise.all([first, second].map((store) => store.transact('warm', say)));
    let runs = 0;
    const write = async (store: Store) => {
      for (let n = 0; n < 50; n += 1)
        await store.transact('send', async (trx) => {
          runs += 1;
          await say(trx);
          await say(trx);
        });
    };
    await Promise.all([write(first), write(second)]);
    expect(runs).toBe(100);
  });

  test('somebody who needs the tables alone is waited for, then named', async () => {
    await (await open()).close();
    const mover = new pg.Client({ connectionString: url });
    await mover.connect();
    await mover.query(`SELECT pg_advisory_lock(hashtextextended('aitbc.store.gateway', 0))`);
    await expect(open(0)).rejects.toThrow(/gateway\): another process has these tables for itself alone/);
    const waiting = open();
    await mover.end();
    expect((await waiting).place).toBe(0);
  });

  test('a full disk is 503, keeps place and lead, and both find out at once that there is room', async () => {
    const [first, second] = [await open(), await open()];
    for (const store of [first, second])
      await expect(store.transact('full', raise('53100'))).rejects.toMatchObject({
        code: 'SERVICE_UNAVAILABLE',
        retryAfterSeconds: 10,
      });
    expect([first.leads(), first.place, second.place]).toEqual([true, 0, 1]);
    expect(await Promise.all([first.writeProblem(), second.writeProblem()])).toEqual([null, null]);
  });

  test('a text with NUL is refused before the server sees it', async () => {
    const store = await open();
    const write = (text: string) =>
      store.transact('note', (trx) => trx.run(db.insertInto('note').values({ text })));
    await expect(write('a\0b')).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    await expect(
      store.read.get(db.selectFrom('note').selectAll().where('text', '=', '\0')),
    ).rejects.toMatchObject({ code: 'VALIDATION_ERROR' });
    expect(await write('ab')).toBe(1);
  });

  test('a parameter that one process hears of is known to the other', async () => {
    const [first, second] = [await open(), await open()];
    const here = await createParameters(first, 'gateway');
    const there = await createParameters(second, 'gateway');
    const name = 'rate_limit_client_per_minute';
    await first.transact('change', (trx) =>
      here.apply(trx, { name, value: 200, version: 1, proposal_id: null }),
    );
    expect(here.get(name)).toBe(200);
    await eventually(() => there.get(name) === 200, slow);
  });
});
