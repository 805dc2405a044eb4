import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from 'pg';
import { resolveForPostgres } from '../sql.ts';
import { parseAddress } from '../store/postgres/address.ts';
import { checkServer } from '../store/postgres/check.ts';
import { migrate } from '../store/postgres/migrate.ts';
import { tryLock } from '../store/postgres/places.ts';
import { renameStreams } from '../store/postgres/rewound.ts';
import { connect, end } from '../store/postgres/session.ts';
import type { Migrations } from '../store/store.ts';
import { copyIn, copyOut } from './copy.ts';
import type { Column, Kind, Lines, Table } from './line.ts';
import { type Mark, markOfSchema, markSchema } from './mark.ts';
import { CannotMove, type Side } from './side.ts';

const PIECE_BYTES = 262_144;
const LOCK_WAIT_MS = 3_000;
const LOCK_EVERY_MS = 100;
/** A table is walked as a whole, and an index of many rows takes its time. */
const UNHURRIED = [
  'SET statement_timeout TO 0',
  'SET idle_in_transaction_session_timeout TO 0',
  "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
];
const SAFE_MAX = Number.MAX_SAFE_INTEGER;
const KINDS: Readonly<Record<string, Kind>> = {
  int8: 'integer',
  float8: 'real',
  text: 'text',
  bytea: 'bytes',
};
/** What only a schema has: see 0027. */
const OWN_TABLES = [
  'store_commit',
  'store_move',
  'store_stream',
  'kysely_migration',
  'kysely_migration_lock',
];

/** The stream that a file goes on with, and begins with: that of the first place. */
const FIRST_STREAM = `coalesce((SELECT stream FROM store_stream WHERE place = 0), (SELECT stream FROM store_identity))`;
/** A file has one stream: what other places have to say, and may have said, comes behind what the first has. */
const ONE_STREAM = `(
  SELECT destination, seq, count, messages, created_at_ms FROM outbox WHERE stream = ${FIRST_STREAM}
  UNION ALL
  SELECT destination, coalesce((SELECT max(seq) FROM outbox AS first
      WHERE first.stream = ${FIRST_STREAM} AND first.destination = other.destination), 0)
      + sum(count) OVER (PARTITION BY destination ORDER BY stream, seq)::bigint,
    count, messages, created_at_ms
  FROM outbox AS other WHERE stream <> ${FIRST_STREAM}) AS outbox`;

const quoted = (name: string): string => `"${name}"`;
const rowsOf = (table: Table): string => (table.name === 'outbox' ? ONE_STREAM : quoted(table.name));
const list = (names: readonly string[]): string => names.map(quoted).join(', ');

export const openSchemaSide = async (options: {
  url: string;
  service: string;
  migrations: Migrations;
}): Promise<Side> => {
  const address = parseAddress(options.url, options.service);
  const { schema } = address;
  await checkServer(address);
  const client: Client = await connect(
    { ...address, config: { ...address.config, query_timeout: 0 } },
    UNHURRIED,
    false,
  );
  try {
    // A process that was just killed may still have it, until the server has noticed.
    const until = performance.now() + LOCK_WAIT_MS;
    let isOurs = await tryLock(client, `aitbc.store.${schema}`);
    while (!isOurs && performance.now() < until) {
      await pause(LOCK_EVERY_MS);
      isOurs = await tryLock(client, `aitbc.store.${schema}`);
    }
    if (!isOurs)
      throw new CannotMove(
        `${address.name} is in use: stop all processes of ${options.service} (and of all others that are to be moved) first`,
      );
  } catch (error) {
    end(client);
    throw error;
  }
  const all = async <T extends object>(text: string, values: unknown[] = []): Promise<T[]> =>
    (await client.query<T>(text, values)).rows;

  const tableNames = async (): Promise<string[]> =>
    (
      await all<{ name: string }>(
        `SELECT relname AS name FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = $1::regnamespace ORDER BY 1`,
        [quoted(schema)],
      )
    ).map(({ name }) => name);

  const tables = async (): Promise<Table[]> => {
    const found = await all<{ table: string; name: string; type: string; collation: string | null }>(
      `SELECT relname AS table, attname AS name, typname AS type,
         (SELECT collname FROM pg_collation WHERE oid = attcollation) AS collation
       FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_type t ON t.oid = atttypid
       WHERE relkind = 'r' AND relnamespace = $1::regnamespace AND attnum > 0 AND NOT attisdropped
         AND NOT relname = ANY ($2) AND NOT (relname = 'outbox' AND attname = 'stream')
       ORDER BY relname COLLATE "C", attname COLLATE "C"`,
      [quoted(schema), OWN_TABLES],
    );
    const keys = await all<{ table: string; name: string }>(
      `SELECT relname AS table, attname AS name FROM pg_constraint p JOIN pg_class c ON c.oid = conrelid,
         unnest(conkey) WITH ORDINALITY AS k (attnum, place) JOIN pg_attribute a ON a.attnum = k.attnum
       WHERE contype = 'p' AND attrelid = conrelid AND relnamespace = $1::regnamespace ORDER BY relname, place`,
      [quoted(schema)],
    );
    return [...Map.groupBy(found, ({ table }) => table)].map(([name, own]) => {
      const columns = own.map((column): Column => {
        const kind = KINDS[column.type];
        if (kind === undefined)
          throw new CannotMove(`${address.name}: ${name}.${column.name} is of type ${column.type}`);
        if (kind === 'text' && column.collation !== 'C')
          throw new CannotMove(
            `${address.name}: ${name}.${column.name} has the collation ${column.collation}, must be "C": its rows would stand in another order`,
          );
        return { name: column.name, kind };
      });
      const key = keys
        .filter((column) => column.table === name && !(name === 'outbox' && column.name === 'stream'))
        .map((column) => column.name);
      if (key.length === 0) throw new CannotMove(`${address.name}: ${name} has no primary key`);
      return { name, columns, key };
    });
  };

  /** Takes down what would be kept up with each row. @returns the statements that put it back */
  const takeDown = async (loaded: readonly Table[]): Promise<string[]> => {
    const names = loaded.map(({ name }) => name);
    const references = await all<{ table: string; name: string; definition: string }>(
      `SELECT relname AS table, conname AS name, pg_get_constraintdef(p.oid) AS definition
       FROM pg_constraint p JOIN pg_class c ON c.oid = conrelid
       WHERE contype = 'f' AND relnamespace = $1::regnamespace AND relname = ANY ($2)`,
      [quoted(schema), names],
    );
    const indexes = await all<{ name: string; definition: string }>(
      `SELECT i.relname AS name, pg_get_indexdef(indexrelid) AS definition
       FROM pg_index JOIN pg_class i ON i.oid = indexrelid JOIN pg_class t ON t.oid = indrelid
       WHERE t.relnamespace = $1::regnamespace AND t.relname = ANY ($2)
         AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)`,
      [quoted(schema), names],
    );
    for (const { table, name } of references)
      await all(`ALTER TABLE ${quoted(table)} DROP CONSTRAINT ${quoted(name)}`);
    for (const { name } of indexes) await all(`DROP INDEX ${quoted(name)}`);
    for (const name of names) {
      await all(`ALTER TABLE ${quoted(name)} DISABLE TRIGGER USER`);
      await all(`DELETE FROM ${quoted(name)}`);
    }
    await all(`ALTER TABLE outbox ALTER COLUMN stream SET DEFAULT ''`);
    return [
      `ALTER TABLE outbox ALTER COLUMN stream DROP DEFAULT`,
      `UPDATE outbox SET stream = ${FIRST_STREAM}`,
      ...indexes.map(({ definition }) => definition),
      ...references.map(
        ({ table, name, definition }) =>
          `ALTER TABLE ${quoted(table)} ADD CONSTRAINT ${quoted(name)} ${definition}`,
      ),
      ...names.map((name) => `ALTER TABLE ${quoted(name)} ENABLE TRIGGER USER`),
    ];
  };

  /** What numbers itself goes on after the highest number. */
  const raiseCounters = async (loaded: readonly Table[]): Promise<void> => {
    const counters = await all<{ table: string; name: string }>(
      `SELECT relname AS table, attname AS name FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
       WHERE attidentity <> '' AND relnamespace = $1::regnamespace AND relname = ANY ($2)`,
      [quoted(schema), loaded.map(({ name }) => name)],
    );
    for (const { table, name } of counters)
      await all(
        `SELECT setval(pg_get_serial_sequence($1, $2), max(${quoted(name)})) FROM ${quoted(table)} HAVING count(*) > 0`,
        [`${quoted(schema)}.${quoted(table)}`, name],
      );
  };

  return {
    name: address.name,
    service: options.service,
    mark: () => markOfSchema(client, schema),
    setMark: (mark) => markSchema(client, schema, mark),
    migrations: async () => {
      const known = Object.keys(options.migrations).sort();
      if (!(await tableNames()).includes('kysely_migration')) return { had: [], known };
      const rows = await all<{ name: string }>('SELECT name FROM kysely_migration ORDER BY name COLLATE "C"');
      return { had: rows.map(({ name }) => name), known };
    },
    isEmpty: async () => (await tableNames()).length === 0,
    tables,
    inspect: async (table) => {
      const beyond = table.columns
        .filter(({ kind }) => kind === 'integer')
        .map(({ name }) => [name, `${quoted(name)} NOT BETWEEN -${SAFE_MAX} AND ${SAFE_MAX}`]);
      const unknown = table.columns
        .filter(({ kind }) => kind === 'real')
        .map(({ name }) => [name, `${quoted(name)} = 'NaN'`]);
      const conditions = [...beyond, ...unknown];
      const [counted] = await all<{ rows: number }>(`SELECT count(*) AS rows FROM ${rowsOf(table)}`);
      const rows = counted?.rows ?? 0;
      if (conditions.length === 0 || rows === 0) return { rows, wrong: [] };
      const found = await all<{ column: string; key: string }>(
        `SELECT CASE ${conditions.map(([name, is]) => `WHEN ${is} THEN '${name}'`).join(' ')} END AS column,
           concat_ws(', ', ${table.key.map((part) => `'${part}=' || ${quoted(part)}`).join(', ')}) AS key
         FROM ${rowsOf(table)} WHERE ${conditions.map(([, is]) => is).join(' OR ')} LIMIT 5`,
      );
      const reals = new Set(unknown.map(([name]) => name));
      return {
        rows,
        wrong: found.map(
          ({ column, key }) =>
            `${table.name}.${column} of ${key}: ${reals.has(column) ? 'not a number' : 'a number beyond 2^53, which is not exact in all places'}`,
        ),
      };
    },
    read: async (table, take) => {
      const columns = table.columns.map(({ name, kind }) =>
        kind === 'real' ? `float8send(${quoted(name)} + 0)` : quoted(name),
      );
      let pieces: Buffer[] = [];
      let [size, rows] = [0, 0];
      let failure: unknown;
      const flush = (): void => {
        const lines: Lines = { rows, bytes: Buffer.concat(pieces) };
        pieces = [];
        [size, rows] = [0, 0];
        // The rows come in while nobody waits: the other engine takes them at once.
        Promise.resolve(take(lines)).catch((error) => {
          failure = error;
        });
      };
      await copyOut(
        client,
        `COPY (SELECT ${columns.join(', ')} FROM ${rowsOf(table)} ORDER BY ${list(table.key)}) TO STDOUT`,
        (chunk) => {
          if (failure !== undefined) throw failure;
          pieces.push(Buffer.from(chunk));
          size += chunk.length;
          rows += 1;
          if (size >= PIECE_BYTES) flush();
        },
      );
      if (rows > 0) flush();
      if (failure !== undefined) throw failure;
    },
    prepare: async (mark: Mark) => {
      await all('BEGIN');
      const left = await tableNames();
      for (const name of left) await all(`DROP TABLE ${quoted(name)} CASCADE`);
      // Of a schema that held no tables they would be somebody else's.
      const functions =
        left.length === 0
          ? []
          : await all<{ name: string }>(
              `SELECT oid::regprocedure::text AS name FROM pg_proc WHERE pronamespace = $1::regnamespace`,
              [quoted(schema)],
            );
      for (const { name } of functions) await all(`DROP FUNCTION ${name}`);
      await markSchema(client, schema, mark);
      await all('COMMIT');
      await migrate(address, options.migrations);
    },
    load: async (loaded, fill) => {
      await all('BEGIN');
      try {
        const putBack = await takeDown(loaded);
        let current: { table: Table; copy: Awaited<ReturnType<typeof copyIn>> } | undefined;
        await fill(async (table, lines) => {
          if (current?.table !== table) {
            await current?.copy.end();
            const columns = list(table.columns.map(({ name }) => name));
            current = {
              table,
              copy: await copyIn(client, `COPY ${quoted(table.name)} (${columns}) FROM STDIN`),
            };
          }
          await current.copy.write(lines.digits ?? lines.bytes);
        });
        await current?.copy.end();
        await raiseCounters(loaded);
        for (const statement of putBack) await all(statement);
        await all('COMMIT');
      } catch (error) {
        // Also in the middle of a COPY: with the connection gone the server undoes all.
        end(client);
        throw error;
      }
      await all('ANALYZE');
    },
    reader: () => ({
      all: async (query: never, values?: never) =>
        (await client.query(resolveForPostgres(query, values as never))).rows as never,
      get: async (query: never, values?: never) =>
        (await client.query(resolveForPostgres(query, values as never))).rows[0] as never,
    }),
    renameStreams: () => renameStreams(client, options.service),
    close: async () => {
      await client.end().catch(() => {});
    },
  };
};
