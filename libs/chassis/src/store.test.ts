import { mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newId } from '@aitbc/contracts';
import { eventually, hasPostgres, messagesOf, type PostgresServer, startPostgres } from '@aitbc/testing';
import Database from 'better-sqlite3';
import { type Kysely, sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ChassisTables } from './migrations/index.ts';
import { sendAs } from './outbox/index.ts';
import { builder, hot, type Params } from './sql.ts';
import { openStore, type Store, type Trx } from './store/index.ts';

interface Tables {
  thing: { id: number; text: string };
}
const db = builder<Tables>();
const insert = (id: number, text = 'x') => db.insertInto('thing').values({ id, text });
const count = async (store: Store): Promise<number> =>
  Number((await store.read.get(db.selectFrom('thing').select((eb) => eb.fn.countAll().as('n'))))?.n);

let postgres: PostgresServer;
beforeAll(async () => {
  if (hasPostgres) postgres = await startPostgres();
});
afterAll(() => postgres?.stop());

const file = () => `sqlite:///${join(mkdtempSync(join(tmpdir(), 'store-')), 'test.db')}`;
const create = (text: string) => ({
  '0001-thing': { up: async (kysely: Kysely<unknown>) => void (await sql.raw(text).execute(kysely)) },
});

let store: Store;
let url: string;
const open = () =>
  openStore({
    url,
    service: 'test',
    migrations: {
      sqlite: create(
        `CREATE TABLE thing (id INTEGER PRIMARY KEY, text TEXT NOT NULL CHECK (text <> 'bad')) STRICT`,
      ),
      postgres: create(
        `CREATE TABLE thing (id BIGINT PRIMARY KEY, text TEXT COLLATE "C" NOT NULL CHECK (text <> 'bad'))`,
      ),
    },
  });
const openIn = (fresh: () => string | Promise<string>) => async () => {
  url = await fresh();
  store = await open();
};

describe.each([
  { engine: 'SQLite', isHere: true, fresh: file },
  { engine: 'PostgreSQL', isHere: hasPostgres, fresh: () => postgres.database() },
])('$engine', ({ isHere, fresh }) => {
  describe.skipIf(!isHere)('does what every store does', () => {
    beforeEach(openIn(fresh));
    afterEach(() => store.close());

    test('what a commit says to a destination is one row, numbered, without what was undone', async () => {
      const send = sendAs<'gateway'>();
      const said = new Map<string, string>();
      const say = (trx: Trx, what: string) => {
        const account_id = newId();
        said.set(account_id, what);
        return send(trx, 'gateway.account_created', { account_id, wallet_address: null });
      };
      const fail = () => Promise.reject(new Error('no'));
      await Promise.allSettled([
        store.transact('a', (trx) => say(trx, 'a')),
        store.transact('undone', (trx) => say(trx, 'undone').then(fail)),
        store.transact('b', async (trx) => {
          await say(trx, 'b');
          // Written, and undone: what was gathered before it is written once more.
          await trx
            .savepoint(async () => {
              await say(trx, 'undone inside');
              await trx.flush();
              await fail();
            })
            .catch(() => {});
          await say(trx, 'c');
        }),
      ]);
      await store.transact('alone', (trx) => say(trx, 'd'));
      const rows = await store.read.all(
        builder<ChassisTables>()
          .selectFrom('outbox')
          .select(['destination', 'seq', 'count', 'messages'])
          .orderBy('seq'),
      );
      expect(rows.map(({ destination, seq, count }) => [destination, seq, count])).toEqual([
        ['payments', 3, 3],
        ['payments', 4, 1],
      ]);
      expect(
        rows
          .flatMap(messagesOf)
          .map(({ payload }) => said.get((payload as { account_id: string }).account_id)),
      ).toEqual(['a', 'b', 'c', 'd']);
    });

    test('what is gathered while the gathered is written is written, too, and its hints are given', async () => {
      const written: string[] = [];
      const hints: string[] = [];
      const first = async (_: Trx, items: readonly string[]) => void written.push(...items);
      const second = async (trx: Trx, items: readonly string[]) => {
        for (const item of items) trx.gather(first, `${item} of second`);
        trx.whileCommitting(() => void hints.push('second'));
      };
      const third = async (trx: Trx, items: readonly string[]) => {
        for (const item of items) trx.gather(second, `${item} of third`);
      };
      await store.transact('a', async (trx) => {
        for (const write of [first, second, third]) trx.gather(write, 'a');
        trx.whileCommitting(() => void hints.push('a'));
      });
      expect(written).toEqual(['a', 'a of second', 'a of third of second']);
      expect(hints.sort()).toEqual(['a', 'second', 'second']);
    });

    test('what waits in the outbox of an older release is said as it was', async () => {
      const ofOlder = store.isShared
        ? [
            `ALTER TABLE outbox DROP COLUMN count, DROP COLUMN messages, ADD CHECK (seq > 0),
               ADD name TEXT COLLATE "C" NOT NULL, ADD version BIGINT NOT NULL, ADD payload TEXT COLLATE "C" NOT NULL`,
            `DELETE FROM kysely_migration WHERE name = '0000-chassis-3'`,
          ]
        : [
            `DROP TABLE outbox`,
            `CREATE TABLE outbox (destination TEXT NOT NULL, seq INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
               payload TEXT NOT NULL, created_at_ms INTEGER NOT NULL, PRIMARY KEY (destination, seq)) STRICT, WITHOUT ROWID`,
            `DELETE FROM kysely_migration WHERE name = '0000-chassis-2'`,
          ];
      const [column, stream] = store.isShared ? ['stream, ', `'${store.stream}', `] : ['', ''];
      await store.transact('older', async (trx) => {
        const insert = `INSERT INTO outbox (${column}destination, seq, name, version, payload, created_at_ms)
          VALUES (${stream}'payments', 7, 'jobs.submitted', 2, '{"text":"a \\"b\\""}', 1)`;
        for (const text of [...ofOlder, insert]) await trx.run({ sql: text, bind: () => [] }, {});
      });
      await store.close();
      store = await open();
      const [row] = await store.read.all(builder<ChassisTables>().selectFrom('outbox').selectAll());
      expect(row).toMatchObject({ destination: 'payments', seq: 7, count: 1 });
      expect(messagesOf(row as { messages: string })).toEqual([
        { name: 'jobs.submitted', version: 2, payload: { text: 'a "b"' } },
      ]);
    });

    test('functions waiting together are one transaction; a throw undoes that one alone', async () => {
      const results = await Promise.allSettled([
        store.transact('a', (trx) => trx.run(insert(1))),
        store.transact('b', async (trx) => {
          await trx.run(insert(2));
          throw new Error('no');
        }),
        store.transact('c', (trx) => trx.run(insert(3, 'bad'))),
        store.transact('d', (trx) => trx.run(insert(4))),
      ]);
      expect(results.map((result) => result.status)).toEqual([
        'fulfilled',
        'rejected',
        'rejected',
        'fulfilled',
      ]);
      expect(
        (await store.read.all(db.selectFrom('thing').select('id').orderBy('id'))).map((row) => row.id),
      ).toEqual([1, 4]);
    });

    test('hooks of an undone function never run; those of a committed one run after its rows can be read', async () => {
      const seen: number[] = [];
      const rows: Promise<number>[] = [];
      await Promise.allSettled([
        store.transact('a', async (trx) => {
          await trx.run(insert(1));
          trx.afterCommit(() => void rows.push(count(store)));
        }),
        store.transact('b', (trx) => {
          trx.afterCommit(() => void seen.push(-1));
          throw new Error('no');
        }),
      ]);
      expect([seen, await Promise.all(rows)]).toEqual([[], [1]]);
    });

    test('what runs while committing says its last word before the rows can be read, where no other process could look', async () => {
      const undone: string[] = [];
      const rows: Promise<number>[] = [];
      await Promise.allSettled([
        store.transact('a', async (trx) => {
          trx.whileCommitting(async () => {
            for (let turn = 0; turn < 100; turn++) await undefined;
            rows.push(count(store));
          });
          await trx.run(insert(1));
        }),
        store.transact('b', (trx) => {
          trx.whileCommitting(() => void undone.push('b'));
          throw new Error('no');
        }),
        store.transact('c', async (trx) => {
          const inner = trx.savepoint(() => {
            trx.whileCommitting(() => void undone.push('c'));
            throw new Error('inner');
          });
          await inner.catch(() => {});
        }),
      ]);
      await eventually(() => rows.length === 1);
      expect([undone, await Promise.all(rows)]).toEqual([[], [store.isShared ? 1 : 0]]);
    });

    test('an inner savepoint that throws leaves the outer writes', async () => {
      await store.transact('outer', async (trx) => {
        await trx.run(insert(1));
        await expect(
          trx.savepoint(async () => {
            await trx.run(insert(2));
            throw new Error('inner');
          }),
        ).rejects.toThrow('inner');
      });
      expect(await count(store)).toBe(1);
    });

    test('what a function did not await cannot write once it is over', async () => {
      const { promise, resolve } = Promise.withResolvers<unknown>();
      await store.transact('hasty', (trx) => {
        setImmediate(() => trx.run(insert(1)).then(resolve, resolve));
      });
      expect(String(await promise)).toContain('transaction hasty is over');
      expect(await count(store)).toBe(0);
    });

    test('rows, and the identity of the stream, are there after opening again', async () => {
      const { stream } = store;
      await store.transact('a', (trx) => trx.run(insert(1)));
      await store.close();
      store = await open();
      expect(await count(store)).toBe(1);
      expect(store.stream).toBe(stream);
    });

    test('the read connection cannot write', async () => {
      await expect(store.read.all(insert(9))).rejects.toThrow(/read-?only|does not return data/i);
    });

    test('a hot statement binds its named parameters in order', async () => {
      const find = hot((p: Params<{ id: number; text: string }>) =>
        db
          .selectFrom('thing')
          .selectAll()
          .where('text', '=', p('text'))
          .where('id', '>', p('id'))
          .where('id', '<', 100),
      );
      await store.transact('a', (trx) =>
        Promise.all([1, 2, 3].map((id) => trx.run(insert(id, id === 2 ? 'y' : 'x')))),
      );
      expect((await store.read.all(find, { id: 1, text: 'x' })).map((row) => row.id)).toEqual([3]);
    });
    test('a hot statement is planned once: SQLite sees constants and no parameter', () => {
      const find = hot((p: Params<{ text: string }>) =>
        db.selectFrom('thing').select('id').where('text', '=', p('text')).where('id', '<', 100).orderBy('id'),
      );
      expect(find.sql).toBe('select "id" from "thing" where "text" = +? and "id" < 100 order by "id"');
    });
  });
});

describe('SQLite alone', () => {
  beforeEach(openIn(file));
  afterEach(() => store.close());

  test('a function that awaits something else than the store is refused and undone; its neighbour is not', async () => {
    const late = Promise.withResolvers<unknown>();
    const slow = store.transact('slow', async (trx) => {
      await trx.run(insert(1));
      await new Promise((resolve) => setTimeout(resolve, 20));
      // It is over by then, and another's transaction may be open.
      await trx.run(insert(2)).then(late.resolve, late.resolve);
    });
    const neighbour = store.transact('neighbour', (trx) => trx.run(insert(3)));
    await expect(slow).rejects.toThrow('transaction slow awaited something that is not the store');
    await neighbour;
    expect(String(await late.promise)).toContain('transaction slow is over');
    expect(await count(store)).toBe(1);
  });

  test('a function that changed nothing fails alone; one that did lets all run again, and each has one effect', async () => {
    const runs: string[] = [];
    const woken: string[] = [];
    const thing = (name: string, id: number, then: (trx: Trx) => Promise<void> = async () => {}) =>
      store.transact(name, async (trx) => {
        runs.push(name);
        trx.afterCommit(() => void woken.push(name));
        await trx.run(insert(id));
        await then(trx);
      });
    const refuse = (name: string) =>
      store.transact(name, async (trx) => {
        runs.push(name);
        trx.afterCommit(() => void woken.push(name));
        trx.memo.set('seen', 1);
        // A row that is there already, or a compare-and-set that finds nothing, changes nothing.
        await trx.run(insert(1)).catch(() => {});
        await trx.run(db.updateTable('thing').set({ id: 7 }).where('id', '=', 8));
        throw new Error(name);
      });
    await Promise.allSettled([thing('a', 1), refuse('refused'), thing('b', 2)]);
    expect(runs.splice(0)).toEqual(['a', 'refused', 'b']);
    expect(woken.splice(0)).toEqual(['a', 'b']);
    expect(await count(store)).toBe(2);

    const outcomes = await Promise.allSettled([
      thing('c', 3, async (trx) => {
        expect(trx.memo.has('seen')).toBe(false);
        trx.memo.set('seen', 1);
        // Caught, and nothing of it is left.
        await trx.savepoint(() => trx.run(insert(4)).then(() => Promise.reject('inner'))).catch(() => {});
        await trx.run(insert(5));
      }),
      thing('d', 6, () => Promise.reject('outer')),
      thing('e', 7),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(outcomes[1]).toMatchObject({ reason: 'outer' });
    expect(runs).toEqual(['c', 'c', 'd', 'e']);
    expect(woken).toEqual(['c', 'e']);
    const rows = await store.read.all(db.selectFrom('thing').select('id').orderBy('id'));
    expect(rows.map(({ id }) => id)).toEqual([1, 2, 3, 5, 7]);
  });

  test('what the writer runs with is what a power cut survives', async () => {
    const modes = await store.transact('look', async (trx) => [
      await trx.get({ compile: () => sql`PRAGMA synchronous`.compile(db) }),
      await trx.get({ compile: () => sql`PRAGMA journal_mode`.compile(db) }),
    ]);
    expect(modes).toEqual([{ synchronous: 2 }, { journal_mode: 'wal' }]);
  });

  test('gives free pages back to the disk, some at a time, and those of a file of before once it was written anew', async () => {
    const path = url.slice('sqlite:///'.length);
    const fill = () =>
      store.transact('fill', async (trx) => {
        for (let id = 1; id <= 60; id++) await trx.run(insert(id, 'x'.repeat(200_000)));
      });
    const empty = () => store.transact('empty', (trx) => trx.run(db.deleteFrom('thing')));
    const shrunk = async () => {
      let freed = 0;
      for (let step = await store.shrink(256); step.found > 0; step = await store.shrink(256))
        freed += step.found;
      expect(await store.emptyLog()).toBe(true);
      return freed;
    };
    await fill();
    await empty();
    expect(await store.emptyLog()).toBe(true);
    const before = statSync(path).size;
    expect(await shrunk()).toBeGreaterThan(1_500);
    // 4 MB stay for the next rows.
    expect(statSync(path).size).toBeLessThan(before / 2);

    await store.close();
    const old = new Database(path);
    old.pragma('auto_vacuum = NONE');
    old.exec('VACUUM');
    old.close();
    store = await open();
    await fill();
    await empty();
    expect(await shrunk()).toBeGreaterThan(1_500);
  });

  test('what SQLite undid by itself is over: nothing can be written after it, by whatever way', async () => {
    await store.transact('trigger', async (trx) => {
      const text = `CREATE TRIGGER undo BEFORE INSERT ON thing WHEN new.text = 'undo'
      BEGIN SELECT RAISE(ROLLBACK, 'as a full disk would'); END`;
      await trx.run({ sql: text, bind: () => [] }, {});
    });
    const afterwards: ((trx: Trx) => unknown)[] = [
      (trx) => trx.run(insert(2)),
      (trx) => trx.get(insert(2).returning('id')),
      (trx) => trx.savepoint(() => trx.get(insert(2).returning('id'))),
      // What nobody catches, and what the others of the group do not know of.
      () => {},
    ];
    for (const then of afterwards) {
      const neighbour = store.transact('neighbour', (trx) => trx.run(insert(3)));
      const careless = store.transact('careless', async (trx) => {
        await trx.run(insert(1));
        await expect(trx.savepoint(() => trx.run(insert(9, 'undo')))).rejects.toThrow('full disk');
        await then(trx);
      });
      expect((await Promise.allSettled([neighbour, careless])).map(({ status }) => status)).toEqual([
        'rejected',
        'rejected',
      ]);
      expect(await count(store)).toBe(0);
    }
  });

  test('two processes with one file number their messages without meeting', async () => {
    const send = sendAs<'gateway'>();
    const other = await open();
    for (const each of [store, other, store, other, other, store])
      await each.transact('send', (trx) =>
        send(trx, 'gateway.account_created', { account_id: newId(), wallet_address: null }),
      );
    const rows = await store.read.all(
      builder<{ outbox: { destination: string; seq: number } }>()
        .selectFrom('outbox')
        .select('seq')
        .orderBy('seq'),
    );
    expect(rows.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5, 6]);
    await other.close();
  });
});
