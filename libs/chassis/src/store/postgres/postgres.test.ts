import { createServer, connect as dial, type Socket } from 'node:net';
import { eventually, freePort, hasPostgres, type PostgresServer, startPostgres } from '@aitbc/testing';
import { type Kysely, sql } from 'kysely';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { insertMany } from '../../insert-many.ts';
import { chassisMigrations } from '../../migrations/index.ts';
import { builder, hot, type Params } from '../../sql.ts';
import { isStoreFault, TookTooLong } from '../fault.ts';
import type { Store, Trx } from '../store.ts';
import { unfitness } from './check.ts';
import { openPostgres } from './index.ts';

interface Tables {
  account: { id: number; owner: string; balance: number };
  oddity: { id: number; whole: number; exact: number; bytes: Buffer; is_so: number };
}
const db = builder<Tables>();
const TABLES = [
  `CREATE TABLE account (id BIGINT PRIMARY KEY, owner TEXT COLLATE "C" NOT NULL, balance BIGINT NOT NULL)`,
  `CREATE TABLE oddity (id INT PRIMARY KEY, whole BIGINT, exact NUMERIC, bytes BYTEA, is_so BOOLEAN)`,
];
const migrations = {
  ...chassisMigrations.postgres,
  '0001-account': {
    up: async (kysely: Kysely<unknown>) => {
      for (const text of TABLES) await sql.raw(text).execute(kysely);
    },
  },
};
const openAt = (url: string, more: { deadlineMs?: number } = {}) =>
  openPostgres({ url, service: 'bank', migrations, ...more });

const add = hot((p: Params<{ id: number; balance: number }>) =>
  db.insertInto('account').values({ id: p('id'), owner: 'ann', balance: p('balance') }),
);
const sum = (reader: Pick<Trx, 'get'>): Promise<number> =>
  reader
    .get(db.selectFrom('account').select((eb) => eb.fn.sum<number>('balance').as('sum')))
    .then((row) => row?.sum ?? 0);
const take = (trx: Trx, id: number, amount: number) =>
  trx.run(
    db
      .updateTable('account')
      .set((eb) => ({ balance: eb('balance', '-', amount) }))
      .where('id', '=', id),
  );

/** Stands between a store and its server: it can cut the connections, or swallow the answer to a commit. */
const openWire = async (serverPort: number) => {
  const sockets = new Set<Socket>();
  let swallows = false;
  const server = createServer((near) => {
    const far = dial(serverPort, '127.0.0.1');
    let isMute = false;
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => [near, far].forEach((end) => void end.destroy()));
    }
    near.on('data', (data) => {
      if (swallows && data.includes('COMMIT')) {
        isMute = true;
        swallows = false;
      }
      far.write(data);
    });
    far.on('data', (data) => {
      if (isMute) near.destroy();
      else near.write(data);
    });
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  return {
    through: (url: string) => url.replace(`:${serverPort}/`, `:${port}/`),
    swallowNextCommit: () => {
      swallows = true;
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
};

/** Gives all clients one connection to the server, a statement each: what a pooler in transaction mode may do. */
const openPooler = async (url: string) => {
  const upstream = new pg.Client({ connectionString: url });
  upstream.on('error', () => {});
  await upstream.connect();
  const far = (upstream as unknown as { connection: { stream: Socket } }).connection.stream;
  far.removeAllListeners('data');
  let asking: Socket | undefined;
  far.on('data', (data) => asking?.write(data));
  const server = createServer((near) => {
    near.on('error', () => {});
    near.once('data', () => {
      // Authenticated; key data of its own; ready.
      near.write(Buffer.from('5200000008000000004b0000000c00000001000000025a0000000549', 'hex'));
      near.on('data', (data) => {
        asking = near;
        if (data[0] !== 'X'.charCodeAt(0)) far.write(data);
      });
    });
  });
  const port = await freePort();
  server.listen(port, '127.0.0.1');
  return {
    url: `postgres://any:one@127.0.0.1:${port}/any`,
    close: () => {
      server.close();
      far.destroy();
    },
  };
};

describe.skipIf(!hasPostgres)('PostgreSQL', () => {
  let server: PostgresServer;
  let url: string;
  let store: Store;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    url = await server.database();
    store = await openAt(url);
  });
  afterEach(() => store.close());

  test('gives numbers, bytes and truths as SQLite does, and no number that would be another', async () => {
    const row = { id: 1, whole: 2 ** 53 - 1, exact: 0.5, bytes: Buffer.from([0, 255]) };
    await store.transact('a', (trx) =>
      trx.run(db.insertInto('oddity').values({ ...row, is_so: 't' } as never)),
    );
    const all = db.selectFrom('oddity').selectAll();
    expect(await store.read.get(all)).toEqual({ ...row, is_so: 1 });
    await store.transact('b', (trx) =>
      trx.run(db.updateTable('oddity').set({ exact: '9007199254740993' as never })),
    );
    await expect(store.read.get(all)).rejects.toThrow(
      '9007199254740993 of the database is beyond the safe integers',
    );
    await expect(store.transact('c', (trx) => trx.get(all))).rejects.toThrow('beyond the safe integers');
    expect(await store.transact('d', (trx) => trx.run(db.deleteFrom('oddity')))).toBe(1);
  });

  test('a write that another transaction made untrue runs again, and acts once', async () => {
    await store.transact('fill', async (trx) => {
      await trx.run(add, { id: 1, balance: 60 });
      await trx.run(add, { id: 2, balance: 60 });
    });
    // Each takes 100 from one account if both together hold it: only one may.
    const other = new pg.Client({ connectionString: url });
    await other.connect();
    let runs = 0;
    let hooks = 0;
    const took = await store.transact('take', async (trx) => {
      runs += 1;
      trx.memo.set('runs', (trx.memo.get('runs') ?? 0) + 1);
      trx.afterCommit(() => {
        hooks += 1;
      });
      if ((await sum(trx)) < 100) return `no, ${trx.memo.get('runs')}`;
      await take(trx, 1, 100);
      if (runs > 1) return 'yes';
      await other.query('SET search_path TO bank; BEGIN ISOLATION LEVEL SERIALIZABLE');
      await other.query('SELECT sum(balance) FROM account');
      await other.query('UPDATE account SET balance = balance - 100 WHERE id = 2');
      await other.query('COMMIT');
      return 'yes';
    });
    await other.end();
    expect([took, runs, hooks, await sum(store.read)]).toEqual(['no, 1', 2, 1, 20]);
  });

  test('a conflict that a function catches undoes it all the same', async () => {
    let runs = 0;
    const conflict = sql<never>`DO $$ BEGIN RAISE serialization_failure; END $$`;
    await store.transact('stubborn', async (trx) => {
      runs += 1;
      await trx.run(add, { id: runs, balance: 1 });
      if (runs === 1) await trx.run({ compile: () => conflict.compile(db) }).catch(() => {});
      await trx.savepoint(() => trx.run(add, { id: 9, balance: 1 })).catch(() => {});
    });
    expect(await store.read.all(db.selectFrom('account').select('id').orderBy('id'))).toEqual([
      { id: 2 },
      { id: 9 },
    ]);
  });

  test('who conflicts each time is told so, and its neighbours are done', async () => {
    const conflict = sql<never>`DO $$ BEGIN RAISE serialization_failure; END $$`;
    const results = await Promise.allSettled([
      store.transact('neighbour', (trx) => trx.run(add, { id: 1, balance: 1 })),
      store.transact('unlucky', (trx) => trx.run({ compile: () => conflict.compile(db) })),
      store.transact('neighbour', (trx) => trx.run(add, { id: 2, balance: 1 })),
    ]);
    expect(
      results.map((result) => (result.status === 'rejected' ? result.reason.code : result.value)),
    ).toEqual([1, 'OVERLOADED', 1]);
  });

  test('a text with NUL that is written with those of neighbours fails its own function alone', async () => {
    type Row = { id: number; owner: string; balance: number };
    const write = insertMany<Row>('account', ['id', 'owner', 'balance']);
    const gathers = (row: Row) => (trx: Trx) => trx.gather(write, row);
    const results = await Promise.allSettled([
      store.transact('neighbour', gathers({ id: 1, owner: 'ann', balance: 1 })),
      store.transact('odd', gathers({ id: 2, owner: 'a\0nn', balance: 1 })),
      store.transact('neighbour', gathers({ id: 3, owner: 'ann', balance: 1 })),
    ]);
    expect(
      results.map((result) => (result.status === 'rejected' ? result.reason.code : result.status)),
    ).toEqual(['fulfilled', 'VALIDATION_ERROR', 'fulfilled']);
    expect(await sum(store.read)).toBe(2);
  });

  test('a statement that failed undoes its function, also when that goes on', async () => {
    const careless = (trx: Trx) =>
      trx
        .run(add, { id: 1, balance: 1 })
        .then(() => trx.run(add, { id: 1, balance: 2 }))
        .catch(() => 'never mind');
    await expect(store.transact('alone', careless)).rejects.toThrow('duplicate key');
    const [first, second] = await Promise.allSettled([
      store.transact('careless', careless),
      store.transact('neighbour', (trx) => trx.run(add, { id: 1, balance: 3 })),
    ]);
    expect([first?.status, second?.status]).toEqual(['rejected', 'fulfilled']);
    await expect(
      store.transact('persistent', async (trx) => {
        await trx.run(add, { id: 1, balance: 1 }).catch(() => {});
        await trx.run(add, { id: 2, balance: 1 });
      }),
    ).rejects.toThrow('goes on after a statement that failed');
    expect(await sum(store.read)).toBe(3);
  });

  test('a function that takes too long is undone, and cannot write any more; its neighbour is not', async () => {
    await store.close();
    store = await openAt(url, { deadlineMs: 100 });
    const late = Promise.withResolvers<unknown>();
    const slow = store.transact('slow', async (trx) => {
      await trx.run(add, { id: 1, balance: 1 });
      await new Promise((resolve) => setTimeout(resolve, 200));
      await trx.run(add, { id: 2, balance: 1 }).then(late.resolve, late.resolve);
    });
    const neighbour = store.transact('neighbour', (trx) => trx.run(add, { id: 3, balance: 1 }));
    await expect(slow).rejects.toThrow('transaction slow took more than 100 ms');
    await neighbour;
    expect(String(await late.promise)).toContain('transaction slow is over');
    expect(await sum(store.read)).toBe(1);
  });

  test('a statement that the server ends for its time is no fault of what it was to write', async () => {
    const slow = store.transact('slow', async (trx) => {
      await trx.run({ sql: 'SET LOCAL statement_timeout TO 50', bind: () => [] }, {});
      await trx.get({ sql: 'SELECT pg_sleep(5)', bind: () => [] }, {});
    });
    const error = await slow.catch((each: unknown) => each);
    expect(error).toBeInstanceOf(TookTooLong);
    expect(isStoreFault(error)).toBe(true);
    await store.transact('next', (trx) => trx.run(add, { id: 1, balance: 1 }));
  });

  test('what a function that took too long left in a savepoint undoes nothing of the next', async () => {
    await store.close();
    store = await openAt(url, { deadlineMs: 1_000 });
    const wakes = Promise.withResolvers<void>();
    const woke = Promise.withResolvers<void>();
    const slow = store.transact('slow', (trx) =>
      trx
        .savepoint(async () => {
          await trx.run(add, { id: 1, balance: 1 });
          await wakes.promise;
          throw new Error('too late');
        })
        .finally(woke.resolve),
    );
    await expect(slow).rejects.toThrow('transaction slow took more than 1000 ms');
    await store.transact('next', (trx) =>
      trx.savepoint(async () => {
        await trx.run(add, { id: 2, balance: 20 });
        wakes.resolve();
        await woke.promise;
        await trx.run(add, { id: 3, balance: 300 });
      }),
    );
    expect(await sum(store.read)).toBe(320);
  });

  test('a killed server is 503 with a time to come again, and then everything goes on with what was answered', async () => {
    const answered: number[] = [];
    const refused: unknown[] = [];
    let next = 1;
    let isOver = false;
    const writers = [1, 2, 3].map(async () => {
      while (!isOver) {
        const id = next++;
        await store
          .transact('add', (trx) => trx.run(add, { id, balance: 1 }))
          .then(
            () => answered.push(id),
            (error: unknown) => refused.push(error),
          );
        if (refused.length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
      }
    });
    await eventually(() => answered.length > 100);
    await server.kill();
    await eventually(() => refused.length > 5);
    await expect(store.read.get(db.selectFrom('account').select('id'))).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
    });
    expect(await store.writeProblem()).toMatch(/cannot be written: .*PostgreSQL/);
    await server.start();
    const before = answered.length;
    await eventually(() => answered.length > before + 100);
    isOver = true;
    await Promise.all(writers);
    expect(await store.writeProblem()).toBe(null);
    const kept = new Set((await store.read.all(db.selectFrom('account').select('id'))).map(({ id }) => id));
    expect(answered.filter((id) => !kept.has(id))).toEqual([]);
    for (const error of refused)
      expect(error).toMatchObject({ code: 'SERVICE_UNAVAILABLE', retryAfterSeconds: 2 });
  });

  test('a connection that is ended while nobody uses it is not noticed', async () => {
    await sum(store.read);
    await server.sql(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'aitbc-bank'`,
    );
    await eventually(async () => (await sum(store.read)) === 0);
    await eventually(() => store.transact('add', (trx) => trx.run(add, { id: 1, balance: 1 })));
    expect(await sum(store.read)).toBe(1);
  });

  test('a commit whose answer is lost is asked for, and its hooks run', async () => {
    await store.close();
    const wire = await openWire(server.port);
    store = await openAt(wire.through(url));
    let hooks = 0;
    wire.swallowNextCommit();
    const write = (id: number) =>
      store.transact('add', async (trx) => {
        trx.afterCommit(() => {
          hooks += 1;
        });
        return trx.run(add, { id, balance: 1 });
      });
    expect(await write(1)).toBe(1);
    expect(await write(2)).toBe(1);
    expect([hooks, await sum(store.read)]).toEqual([2, 2]);
    await store.close();
    wire.close();
    store = await openAt(url);
  });

  test('a pooler that changes the connection between statements is named at start', async () => {
    const pooler = await openPooler(url);
    await expect(openAt(pooler.url)).rejects.toThrow('its mode must be "session"');
    pooler.close();
  });

  test('says where it is without the password, and how it is copied', async () => {
    expect(store.path).toBe(
      `postgres://127.0.0.1:${server.port}/${new URL(url).pathname.slice(1)} (schema bank)`,
    );
    await expect(store.backup('x')).rejects.toThrow('pg_dump');
  });

  test('what a service could not stand on is named at start', async () => {
    await expect(openAt(await server.database({ encoding: 'SQL_ASCII' }))).rejects.toThrow('must be UTF8');
    await server.sql(
      `CREATE ROLE guest LOGIN PASSWORD 'guest-of-a-test'; CREATE SCHEMA theirs`,
      new URL(url).pathname.slice(1),
    );
    const asGuest = new URL(url);
    asGuest.username = 'guest';
    asGuest.password = 'guest-of-a-test';
    await expect(openAt(asGuest.href)).rejects.toThrow(
      'does not let the user make tables in the schema bank',
    );
    await expect(openAt(`${asGuest}?schema=theirs`)).rejects.toThrow('GRANT USAGE, CREATE ON SCHEMA theirs');
    await expect(openAt(`${asGuest}?schema=new`)).rejects.toThrow(
      'has no schema new, and the user may not make one',
    );
    await expect(openAt(`${asGuest}?schema=Ö`)).rejects.toThrow('the schema must be of a to z');
  });
});

test('a server that is too old, a replica, or one that forgets is named', () => {
  const facts = {
    version: 150_018,
    encoding: 'UTF8',
    fsync: 'on',
    is_replica: 0,
    has_schema: 1,
    may_make_schema: 0,
    may_use_schema: 1,
  };
  expect(unfitness(facts, 'bank')).toBe(null);
  expect(unfitness({ ...facts, version: 130_011 }, 'bank')).toBe('is PostgreSQL 13, must be 14 or newer');
  expect(unfitness({ ...facts, is_replica: 1 }, 'bank')).toContain('is a replica');
  expect(unfitness({ ...facts, fsync: 'off' }, 'bank')).toContain('fsync off');
});
