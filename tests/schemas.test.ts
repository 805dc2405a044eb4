import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type MigrationsByEngine, openStore } from '@aitbc/chassis';
import { hasPostgres, type PostgresServer, scratchDirectory, startPostgres } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrations as gateway } from '../services/gateway/migrations/index.ts';
import { migrations as governance } from '../services/governance/migrations/index.ts';
import { migrations as jobs } from '../services/jobs/migrations/index.ts';
import { migrations as market } from '../services/market/migrations/index.ts';
import { migrations as miners } from '../services/miners/migrations/index.ts';
import { migrations as payments } from '../services/payments/migrations/index.ts';

// The two engines must have the same tables. Each schema is written down as facts, one a line, and the facts are compared.

const SERVICES = { gateway, governance, jobs, market, miners, payments } satisfies Record<
  string,
  MigrationsByEngine
>;

interface Difference {
  readonly sqlite?: string;
  readonly postgres?: string;
  readonly because: string;
}
/** Tables of the money that nothing is taken out of. */
const KEPT = {
  account: 'accounts',
  transfer: 'transfers',
  payment: 'payments',
  resolution: 'resolutions',
  block: 'blocks',
  exchange_invoice: 'invoices',
  exchange_output: 'outputs',
  exchange_debt: 'debts',
};
const keptWhole = Object.entries(KEPT).map(([table, rows]) => ({
  postgres: `${table} trigger ${table}_is_kept_whole BEFORE TRUNCATE: ${rows} are never deleted`,
  because: 'SQLite has no TRUNCATE',
}));

/** In the tables that every service has. */
const OF_ALL: readonly Difference[] = [
  {
    postgres: 'outbox.stream text in bytes not null',
    because: 'a file has one stream; of the processes that share a schema each has its own',
  },
  {
    sqlite: 'outbox primary key (destination, seq)',
    postgres: 'outbox primary key (stream, destination, seq)',
    because: 'the same',
  },
];

/** All that may differ. */
const DIFFERENCES: Record<keyof typeof SERVICES, readonly Difference[]> = {
  gateway: [
    {
      postgres: 'audit trigger audit_is_kept_whole BEFORE TRUNCATE: nothing is taken out of the audit log',
      because: 'SQLite has no TRUNCATE',
    },
  ],
  governance: [],
  jobs: [
    {
      postgres: 'job.seq is generated',
      because: 'SQLite numbers the rows of every INTEGER PRIMARY KEY by itself',
    },
    { postgres: 'job_result.seq is generated', because: 'the same' },
    {
      sqlite:
        "job index job_named() where status = 'pending' AND is_funded = 1 AND constraints ->> 'miner_id' IS NOT NULL",
      postgres:
        "job index job_named() where status = 'pending' AND is_funded = 1 AND constraints ::json ->> 'miner_id' IS NOT NULL",
      because: 'SQLite reads a field of a text, PostgreSQL of a json',
    },
  ],
  market: [
    {
      sqlite: 'gpu check of absent_since_ms, booked_order_id, is_available, is_offered, withdrawn_at_ms: 1',
      postgres:
        'gpu check of absent_since_ms, booked_order_id, is_available, is_offered, withdrawn_at_ms: 1 1',
      because: 'to PostgreSQL 1 is not true: it compares is_available = 1',
    },
  ],
  miners: [],
  payments: [
    {
      postgres: 'account.id is generated',
      because: 'SQLite numbers the rows of every INTEGER PRIMARY KEY by itself',
    },
    ...keptWhole,
    {
      postgres: 'transfer trigger transfer_has_the_next_number BEFORE INSERT: ',
      because: 'SQLite numbers without gaps by itself; a sequence of PostgreSQL does not',
    },
    {
      sqlite: 'transfer trigger transfer_leaves_what_is_owed BEFORE INSERT: what is owed cannot be spent',
      postgres: 'transfer trigger transfer_leaves_what_is_owed AFTER INSERT: what is owed cannot be spent',
      because: 'PostgreSQL moves the balances after all rows of a statement, so the rule looks after it, too',
    },
  ],
};

const TYPES: Record<string, string> = {
  INTEGER: 'bigint',
  REAL: 'double precision',
  TEXT: 'text in bytes',
  BLOB: 'bytea',
};

/** Without what an engine adds when it writes an expression down again. */
const plain = (expression: string): string =>
  expression
    .replace(/'(-?\d+(?:\.\d+)?)'::/g, '$1::')
    .replace(/::(?:text|bigint|integer|numeric|double precision)(?:\[\])?/g, '')
    .replace(/[\s()]+/g, ' ')
    .trim();
/** The texts and numbers in it: the rest of a condition each engine writes in its own way. */
const literals = (expression: string): string =>
  (plain(expression).match(/'[^']*'|(?<![A-Za-z_\d])\d+(?:\.\d+)?/g) ?? []).join(' ');

/** The conditions of a statement's CHECKs; none of them holds a parenthesis in a text. */
const checksOf = (statement: string): string[] =>
  [...statement.matchAll(/\bCHECK\s*\(/g)].map(({ index, 0: { length } }) => {
    let depth = 1;
    let end = index + length;
    for (; depth > 0; end += 1)
      depth += ({ '(': 1, ')': -1 } as Record<string, number>)[statement[end] as string] ?? 0;
    return statement.slice(index + length, end - 1);
  });

/** @param messages of the refusal, wherever the engine has it */
const triggerFact = (table: string, definition: string, messages: string): string => {
  const [, name, when] = /^CREATE TRIGGER (\w+)\s+(.*?)\s+ON\s/s.exec(definition) as unknown as string[];
  return `${table} trigger ${name} ${when?.replace(/\s+/g, ' ')}: ${messages}`;
};
const checkFact = (table: string, columns: readonly string[], expression: string): string =>
  `${table} check of ${[...columns].sort().join(', ')}: ${literals(expression)}`;
const indexFact = (
  table: string,
  index: { name: string | null; isUnique: boolean; columns: readonly string[]; where: string },
): string =>
  `${table} ${index.isUnique ? 'unique ' : ''}index ${index.name ?? ''}(${index.columns.join(', ')})${index.where === '' ? '' : ` where ${plain(index.where)}`}`;
const columnFact = (
  table: string,
  column: { name: string; type: string; isNull: boolean; fallback: string | null },
): string =>
  `${table}.${column.name} ${column.type}${column.isNull ? '' : ' not null'}${column.fallback === null ? '' : ` default ${plain(column.fallback)}`}`;

const factsOfSqlite = (path: string): string[] => {
  const db = new DatabaseSync(path, { readOnly: true });
  const all = <T>(statement: string, ...values: string[]) => db.prepare(statement).all(...values) as T[];
  const facts: string[] = [];
  const tables = all<{ name: string; sql: string }>(
    `SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB 'kysely_*'`,
  );
  for (const { name: table, sql } of tables) {
    const columns = all<{
      name: string;
      type: string;
      notnull: number;
      dflt_value: string | null;
      pk: number;
    }>('SELECT * FROM pragma_table_xinfo(?)', table);
    for (const { name, type, notnull, dflt_value, pk } of columns) {
      // A key of texts may be null in SQLite when its table has a rowid; nothing here makes use of that.
      const isNull = notnull === 0 && pk === 0;
      facts.push(columnFact(table, { name, type: TYPES[type] ?? type, isNull, fallback: dflt_value }));
    }
    const key = columns.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk);
    facts.push(`${table} primary key (${key.map(({ name }) => name).join(', ')})`);
    const indexes = all<{ name: string; unique: number; origin: string }>(
      'SELECT * FROM pragma_index_list(?)',
      table,
    );
    for (const { name, unique, origin } of indexes) {
      if (origin === 'pk') continue;
      const of = all<{ name: string }>('SELECT name FROM pragma_index_info(?)', name).map(
        (column) => column.name,
      );
      const [made] = all<{ sql: string | null }>('SELECT sql FROM sqlite_schema WHERE name = ?', name);
      facts.push(
        indexFact(table, {
          name: origin === 'u' ? null : name,
          isUnique: unique === 1,
          columns: of,
          where: /\sWHERE\s(.*)$/s.exec(made?.sql ?? '')?.[1] ?? '',
        }),
      );
    }
    const references = all<{ id: number; table: string; from: string; to: string; on_delete: string }>(
      'SELECT * FROM pragma_foreign_key_list(?) ORDER BY id, seq',
      table,
    );
    for (const parts of Map.groupBy(references, ({ id }) => id).values()) {
      const [{ table: other, on_delete }] = parts as [(typeof parts)[number]];
      facts.push(
        `${table} (${parts.map(({ from }) => from).join(', ')}) is in ${other} (${parts.map(({ to }) => to).join(', ')}), on delete ${on_delete}`,
      );
    }
    for (const check of checksOf(sql)) {
      const words = new Set(check.replace(/'[^']*'/g, '').match(/\w+/g));
      const named = columns.map(({ name }) => name).filter((name) => words.has(name));
      facts.push(checkFact(table, named, check));
    }
  }
  for (const { tbl_name, sql } of all<{ tbl_name: string; sql: string }>(
    `SELECT tbl_name, sql FROM sqlite_schema WHERE type = 'trigger'`,
  )) {
    const messages = [...sql.matchAll(/RAISE\s*\(ABORT, '([^']*)'/g)].map((match) => match[1]);
    facts.push(triggerFact(tbl_name, sql, messages.join()));
  }
  db.close();
  return facts.sort();
};

const factsOfPostgres = async (
  server: PostgresServer,
  database: string,
  schema: string,
): Promise<string[]> => {
  const all = async <T>(statement: string) =>
    (await server.sql(`SET search_path TO ${schema}; ${statement}`, database)) as T[];
  const table = `JOIN pg_class t ON t.relkind = 'r' AND t.relnamespace = '${schema}'::regnamespace AND t.relname !~ '^kysely_' AND t.oid =`;
  const names = (numbers: string, of: string) =>
    `(SELECT coalesce(json_agg(attname ORDER BY place), '[]') FROM unnest(${numbers}) WITH ORDINALITY AS n (attnum, place)
      JOIN pg_attribute a USING (attnum) WHERE attrelid = ${of})`;
  const facts: string[] = [];
  const columns = await all<
    Record<'table' | 'name' | 'type' | 'identity', string> & { isNull: boolean; fallback: string | null }
  >(
    `SELECT t.relname AS table, attname AS name, NOT attnotnull AS "isNull", pg_get_expr(adbin, adrelid) AS fallback,
       format_type(atttypid, atttypmod) || CASE collname WHEN 'C' THEN ' in bytes' ELSE '' END AS type, attidentity AS identity
     FROM pg_attribute ${table} attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     LEFT JOIN pg_collation c ON c.oid = attcollation WHERE attnum > 0 AND NOT attisdropped`,
  );
  for (const column of columns) {
    facts.push(columnFact(column.table, column));
    if (column.identity !== '') facts.push(`${column.table}.${column.name} is generated`);
  }
  const constraints = await all<
    Record<'table' | 'type' | 'other' | 'onDelete' | 'definition', string> &
      Record<'columns' | 'others', string[]>
  >(
    `SELECT t.relname AS table, contype AS type, ${names('conkey', 'conrelid')} AS columns,
       ${names('confkey', 'confrelid')} AS others, f.relname AS other, pg_get_constraintdef(c.oid) AS definition,
       CASE confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' ELSE 'NO ACTION' END AS "onDelete"
     FROM pg_constraint c ${table} conrelid LEFT JOIN pg_class f ON f.oid = confrelid WHERE contype <> 't'`,
  );
  for (const { table: of, type, columns: own, others, other, onDelete, definition } of constraints) {
    const list = own.join(', ');
    if (type === 'p') facts.push(`${of} primary key (${list})`);
    else if (type === 'u') facts.push(indexFact(of, { name: null, isUnique: true, columns: own, where: '' }));
    else if (type === 'f')
      facts.push(`${of} (${list}) is in ${other} (${others.join(', ')}), on delete ${onDelete}`);
    else facts.push(checkFact(of, own, definition));
  }
  const indexes = await all<{
    table: string;
    name: string;
    isUnique: boolean;
    columns: string[];
    where: string;
  }>(
    `SELECT t.relname AS table, i.relname AS name, indisunique AS "isUnique", ${names('indkey::int2[]', 'indrelid')} AS columns,
       coalesce(pg_get_expr(indpred, indrelid), '') AS where
     FROM pg_index ${table} indrelid JOIN pg_class i ON i.oid = indexrelid
     WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))`,
  );
  for (const index of indexes) facts.push(indexFact(index.table, index));
  const triggers = await all<Record<'table' | 'definition' | 'body', string>>(
    `SELECT t.relname AS table, pg_get_triggerdef(g.oid) AS definition, prosrc AS body
     FROM pg_trigger g ${table} tgrelid JOIN pg_proc p ON p.oid = tgfoid WHERE NOT tgisinternal`,
  );
  for (const { table: of, definition, body } of triggers) {
    const given = [...definition.matchAll(/refuse\('([^']*)'\)/g), ...body.matchAll(/MESSAGE = '([^']*)'/g)];
    facts.push(triggerFact(of, definition, given.map((match) => match[1]).join()));
  }
  return facts.sort();
};

describe.skipIf(!hasPostgres)('a service has the same tables on both engines', { timeout: 60_000 }, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterAll(() => server?.stop());

  test.each(Object.keys(SERVICES) as (keyof typeof SERVICES)[])('%s', async (service) => {
    const migrations = SERVICES[service];
    const path = join(scratchDirectory(), `${service}.db`);
    await (await openStore({ url: path, service, migrations })).close();
    const url = await server.database();
    await (await openStore({ url, service, migrations })).close();
    const sqlite = factsOfSqlite(path);
    const all = await factsOfPostgres(server, new URL(url).pathname.slice(1), service);
    // Of the store itself: a file needs no row to know whether a commit arrived, and no list of its streams.
    const postgres = all.filter((fact) => !/^store_(commit|stream)\b/.test(fact));

    // Or a mistake in how the facts are read would look like agreement.
    for (const kind of [' primary key ', ' index ', ' check of ']) expect(sqlite.join('\n')).toContain(kind);

    const without = (facts: readonly string[], others: readonly string[]) => {
      const left = [...others];
      return facts.filter((fact) => {
        const place = left.indexOf(fact);
        if (place >= 0) left.splice(place, 1);
        return place < 0;
      });
    };
    const known = [...OF_ALL, ...DIFFERENCES[service]];
    const of = (engine: 'sqlite' | 'postgres') =>
      known.flatMap((difference) => difference[engine] ?? []).sort();
    expect({ sqlite: without(sqlite, postgres), postgres: without(postgres, sqlite) }).toEqual({
      sqlite: of('sqlite'),
      postgres: of('postgres'),
    });
  });
});
