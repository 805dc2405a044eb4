import { join } from 'node:path';
import { hasPostgres, type PostgresServer, rowSaying, scratchDirectory, startPostgres } from '@aitbc/testing';
import Database from 'better-sqlite3';
import { type Kysely, sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { builder } from '../sql.ts';
import { type MigrationsByEngine, openStore, type Store } from '../store/index.ts';
import { type Moving, moveStores, restoreSchema, undoMove } from './index.ts';

// Each kind of value there is, and each way a move can be refused or broken off, with tables made for it.

const NAME = 'jobs';
const make = (words: { integer: string; real: string; text: string; bytes: string; end: string }) => ({
  up: async (db: Kysely<unknown>) => {
    const { integer, real, text, bytes, end } = words;
    for (const statement of [
      `CREATE TABLE parent (id ${text} PRIMARY KEY, size ${integer} NOT NULL)${end}`,
      `CREATE TABLE thing (
         id ${text} PRIMARY KEY, parent ${text} REFERENCES parent (id), count ${integer}, share ${real},
         note ${text} UNIQUE, raw ${bytes}, is_on ${integer} NOT NULL CHECK (is_on IN (0, 1)))${end}`,
      `CREATE INDEX thing_count ON thing (count) WHERE is_on = 1`,
      `INSERT INTO parent VALUES ('made with the tables', 1)`,
    ])
      await sql.raw(statement).execute(db);
  },
});
const migrations: MigrationsByEngine = {
  sqlite: {
    '0001-things': make({ integer: 'INTEGER', real: 'REAL', text: 'TEXT', bytes: 'BLOB', end: ' STRICT' }),
  },
  postgres: {
    '0001-things': make({
      integer: 'BIGINT',
      real: 'DOUBLE PRECISION',
      text: 'TEXT COLLATE "C"',
      bytes: 'BYTEA',
      end: '',
    }),
  },
};
interface Thing {
  id: string;
  parent: string | null;
  count: number | null;
  share: number | null;
  note: string | null;
  raw: Buffer | null;
  is_on: number;
}
const db = builder<{ thing: Thing; parent: { id: string; size: number } }>();
const thing = (id: string, changes: Partial<Thing> = {}): Thing => ({
  id,
  parent: null,
  count: null,
  share: null,
  note: null,
  raw: null,
  is_on: 0,
  ...changes,
});
/** What the engines are most likely to say in different words, or in another order. */
const THINGS: readonly Thing[] = [
  thing('a'),
  thing('B', { note: '', raw: Buffer.alloc(0) }),
  thing('Ä', { note: 'tab\there\nand \\ and \\N \\. and \r\b\f\v', parent: 'made with the tables' }),
  thing('\u{1F680}', { note: '\u{1F680} \uFFFD é \u2028', raw: Buffer.from([0, 255, 10, 9, 92, 128]) }),
  thing('\uFF5E', { count: Number.MAX_SAFE_INTEGER, is_on: 1 }),
  thing('0', { count: Number.MIN_SAFE_INTEGER, share: 0.1 + 0.2 }),
  ...[1e23, 5e-324, 1e-5, -1.5, 123456789012345680, 1 / 3, 0, 2 ** 60].map((share, index) =>
    thing(`f${index}`, { share }),
  ),
];

let server: PostgresServer;
let folder: string;
let file: string;
let url: string;

const open = (at: string): Promise<Store> => openStore({ url: at, service: NAME, migrations });
const things = async (at: string): Promise<Thing[]> => {
  const store = await open(at);
  const rows = await store.read.all(db.selectFrom('thing').selectAll().orderBy('id'));
  await store.close();
  return rows.map((row) => ({ ...row, raw: row.raw && Buffer.from(row.raw) }));
};
const add = async (at: string, rows: readonly Thing[]): Promise<string> => {
  const store = await open(at);
  await store.transact('add', (trx) => trx.run(db.insertInto('thing').values([...rows])));
  await store.close();
  return store.identity;
};
const moving = (from: string, to: string, more: Partial<Moving> = {}): Moving => ({
  service: NAME,
  from,
  to,
  migrations,
  ...more,
});
const move = (from: string, to: string, more: Partial<Parameters<typeof moveStores>[0]> = {}) =>
  moveStores({ movings: [moving(from, to)], ...more });
/** Beside the store, as somebody who has the file or the server. */
const inFile = (path: string, statement: string): void => {
  const direct = new Database(path);
  direct.exec(statement);
  direct.close();
};
const inSchema = (statement: string) => server.sql(statement, new URL(url).pathname.slice(1));

beforeAll(async () => {
  if (hasPostgres) server = await startPostgres();
}, 60_000);
afterAll(() => server?.stop());

const fresh = async (): Promise<void> => {
  folder = scratchDirectory();
  file = join(folder, 'jobs.db');
  url = await server.database();
};

describe.skipIf(!hasPostgres)('moving between SQLite and PostgreSQL', { timeout: 60_000 }, () => {
  test('all values come through unchanged, there and back, and each store knows where it stands', async () => {
    await fresh();
    const stream = await add(file, THINGS);
    const before = await things(file);
    const [there] = await move(file, url);
    expect(there?.tables.find(({ table }) => table === 'thing')).toMatchObject({ rows: THINGS.length });
    expect(await things(url)).toEqual(before);
    await expect(open(file)).rejects.toThrow('moved to postgres://');
    // Again it is done already.
    expect((await move(file, url))[0]).toMatchObject({ isOld: true });

    // Numbers and rules go on as they were.
    const store = await open(url);
    expect(store.stream).toBe(stream);
    await expect(
      store.transact('add', (trx) =>
        trx.run(db.insertInto('thing').values(thing('x', { parent: 'nobody' }))),
      ),
    ).rejects.toThrow('foreign key');
    await store.close();
    await add(url, [thing('new', { note: 'written there' })]);

    const back = join(folder, 'back', 'jobs.db');
    await move(url, back);
    expect(await things(back)).toEqual(
      [...before, thing('new', { note: 'written there' })].sort((a, b) =>
        Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)),
      ),
    );
    await expect(open(url)).rejects.toThrow('moved to');
    expect(await add(back, [thing('newer')])).toBe(stream);
  });

  test.each([
    [
      'a number beyond 2^53',
      `UPDATE thing SET count = 9007199254740993 WHERE id = 'a'`,
      'thing.count of id=a',
    ],
    ['NUL in a text', `UPDATE thing SET note = 'x' || char(0) WHERE id = 'a'`, 'thing.note of id=a'],
    [
      'bytes that are no UTF-8',
      `UPDATE thing SET note = CAST(x'c328' AS TEXT) WHERE id = 'a'`,
      'thing.note of id=a',
    ],
  ])('%s is named before anything is written', async (_what, statement, name) => {
    await fresh();
    await add(file, THINGS);
    inFile(file, statement);
    await expect(move(file, url)).rejects.toThrow(name);
    expect(await inSchema(`SELECT 1 FROM pg_class WHERE relnamespace::regnamespace::text = 'jobs'`)).toEqual(
      [],
    );
    expect(await things(file)).toHaveLength(THINGS.length);
  });

  test('numbers beyond 2^53 of PostgreSQL are named, too', async () => {
    await fresh();
    await add(url, THINGS);
    await inSchema(
      `UPDATE jobs.thing SET count = -9007199254740993 WHERE id = 'a'; UPDATE jobs.thing SET share = 'NaN' WHERE id = 'B'`,
    );
    await expect(move(url, file)).rejects.toThrow(/thing\.count of id=a.*\n.*|thing\.share of id=B/);
  });

  test('who is in use, not empty, older or newer is named', async () => {
    await fresh();
    await add(file, THINGS);
    const running = await open(file);
    await expect(move(file, url)).rejects.toThrow('is in use: stop');
    await running.close();

    await add(url, THINGS);
    await expect(move(file, url)).rejects.toThrow('is not empty');
    const held = await open(url);
    await expect(move(url, join(folder, 'other.db'))).rejects.toThrow('is in use: stop');
    await held.close();

    inFile(file, `DELETE FROM kysely_migration WHERE name = '0001-things'`);
    url = await server.database();
    await expect(move(file, url)).rejects.toThrow('of an older release and lacks 0001-things');
    inFile(file, `INSERT INTO kysely_migration VALUES ('0001-things', ''), ('0009-later', '')`);
    await expect(move(file, url)).rejects.toThrow('of a newer release (0009-later)');
    await expect(move(file, join(folder, 'other.db'))).rejects.toThrow('the same engine');
  });

  test('a changed byte is found, no service starts on such a target, and the same move makes it good', async () => {
    await fresh();
    await add(file, THINGS);
    const before = await things(file);
    const spoil = async (): Promise<void> => {
      await inSchema(`UPDATE jobs.thing SET note = 'tampered' WHERE id = 'Ä'`);
    };
    await expect(move(file, url, { onCopied: spoil })).rejects.toThrow(
      'the rows of thing are not those of the source',
    );
    await expect(open(url)).rejects.toThrow('was not completed');
    // The source is as good as it was.
    expect(await things(file)).toEqual(before);
    const drop = async (): Promise<void> => {
      await inSchema(`DELETE FROM jobs.thing WHERE id = 'f0'`);
    };
    await expect(move(file, url, { onCopied: drop })).rejects.toThrow(`thing has ${THINGS.length - 1} rows`);
    const audit = async (): Promise<string[]> => ['a balance that is not right'];
    await expect(moveStores({ movings: [moving(file, url, { audit })] })).rejects.toThrow(
      'a balance that is not right',
    );

    await move(file, url);
    expect(await things(url)).toEqual(before);
  });

  test('what left is valid again when that is undone, under another name', async () => {
    await fresh();
    const stream = await add(file, THINGS);
    await move(file, url);
    expect(await undoMove({ service: NAME, url: file, migrations })).toContain('(schema jobs)');
    expect(await add(file, [thing('went on here')])).not.toBe(stream);
    await expect(undoMove({ service: NAME, url: file, migrations })).rejects.toThrow('nothing to undo');
    // Both went on: neither takes what the other has.
    await expect(move(file, url)).rejects.toThrow('is not empty');
  });

  test('a file takes over what all places had to say, and a schema that was put back says it under a new name', async () => {
    await fresh();
    const stream = await add(url, [thing('one')]);
    const row = (of: string, seq: number, id: string) =>
      `('${of}', 'payments', ${seq}, 1, '${rowSaying('jobs.withdrawn', `{"id":"${id}"}`).messages}', 1)`;
    await inSchema(
      `INSERT INTO jobs.store_stream VALUES (1, 'jobs-of-another') ON CONFLICT DO NOTHING;
       INSERT INTO jobs.outbox (stream, destination, seq, count, messages, created_at_ms) VALUES
       ${[row(stream, 7, 'a'), row(stream, 8, 'b'), row('jobs-of-another', 41, 'c'), row('jobs-of-another', 42, 'd')].join(', ')}`,
    );
    const said = (select: string) => inSchema(`SELECT ${select} FROM jobs.outbox ORDER BY seq`);
    const before = await restoreSchema({ service: NAME, url });
    expect(before).toMatchObject({ outbox: 4 });
    expect(before.stream).not.toBe(stream);
    expect(await said('stream, seq')).toEqual(
      [1, 2, 3, 4].map((seq) => ({ stream: before.stream, seq: String(seq) })),
    );
    expect(await inSchema('SELECT * FROM jobs.store_stream')).toEqual([
      { place: '0', stream: before.stream },
    ]);

    await inSchema(
      `INSERT INTO jobs.store_stream VALUES (1, 'jobs-of-another');
       INSERT INTO jobs.outbox (stream, destination, seq, count, messages, created_at_ms) VALUES ${row('jobs-of-another', 43, 'e')}`,
    );
    await move(url, file);
    const direct = new Database(file, { readonly: true });
    expect(direct.prepare('SELECT seq, messages FROM outbox ORDER BY seq').raw().all().at(-1)).toEqual([
      5,
      rowSaying('jobs.withdrawn', '{"id":"e"}').messages,
    ]);
    expect(direct.prepare('SELECT stream FROM store_identity').pluck().get()).toBe(before.stream);
    direct.close();
  });
});
