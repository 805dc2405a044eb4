import {
  type Compilable,
  type CompiledQuery,
  createQueryId,
  type Expression,
  type InsertQueryBuilder,
  PostgresQueryCompiler,
  type RawBuilder,
  type RootOperationNode,
  SqliteQueryCompiler,
  sql,
} from 'kysely';

// What the two engines say differently. Everything else that a service asks is in words that both know.

export type Dialect = 'sqlite' | 'postgres';

/** Stands for a value of a statement that is compiled once; see `hot`. */
export class Placeholder {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** Text that an engine reads where the other reads something else. */
class Words {
  readonly of: Readonly<Record<Dialect, string>>;
  constructor(of: Readonly<Record<Dialect, string>>) {
    this.of = of;
  }
}

/** Set while {@link compileWith} makes literals of constants. */
let inlinesConstants = false;

class ForSqlite extends SqliteQueryCompiler {
  protected override appendValue(value: unknown): void {
    if (value instanceof Words) this.append(value.of.sqlite);
    else if (inlinesConstants && !(value instanceof Placeholder)) this.appendImmediateValue(value);
    else {
      // A unary plus keeps SQLite's planner from looking into the value. Ours is built with STAT4, and prepares a statement
      // anew, at each run, for every value that its plan might depend on, as an `=` beside an ORDER BY: 10 µs instead of 1.5.
      if (value instanceof Placeholder) this.append('+');
      super.appendValue(value);
    }
  }
}

class ForPostgres extends PostgresQueryCompiler {
  protected override appendValue(value: unknown): void {
    if (value instanceof Words) this.append(value.of.postgres);
    else if (inlinesConstants && !(value instanceof Placeholder)) this.appendImmediateValue(value);
    else super.appendValue(value);
  }
}

export const createCompiler = (dialect: Dialect): SqliteQueryCompiler | PostgresQueryCompiler =>
  dialect === 'sqlite' ? new ForSqlite() : new ForPostgres();

const compilers = { sqlite: createCompiler('sqlite'), postgres: createCompiler('postgres') };

/** What a query asks, before any engine's words. */
export const nodeOf = (query: Compilable<unknown>): RootOperationNode =>
  'toOperationNode' in query
    ? (query as unknown as { toOperationNode(): RootOperationNode }).toOperationNode()
    : query.compile().query;

/** @param constants what a value that is no placeholder becomes */
export const compileWith = (
  dialect: Dialect,
  node: RootOperationNode,
  constants: 'bound' | 'literal',
): CompiledQuery => {
  inlinesConstants = constants === 'literal';
  try {
    return compilers[dialect].compileQuery(node, createQueryId());
  } finally {
    inlinesConstants = false;
  }
};

const words = (of: Readonly<Record<Dialect, string>>): RawBuilder<unknown> => sql`${new Words(of)}`;

// PostgreSQL has no unary plus for texts, and its planner needs no hint here.
const hidden = words({ sqlite: '+', postgres: '' });

/** A column that is compared, but by no index: it keeps the planner on the index of the order. */
export const unindexed = <T>(column: string): RawBuilder<T> => sql<T>`${hidden}${sql.ref(column)}`;

const asBytes = words({ sqlite: '', postgres: ' COLLATE "C"' });

/** Equal when A to Z and a to z are the same letters; all others must be the same. */
export const equalsIgnoringCase = (column: string, value: string): Expression<boolean> =>
  sql<boolean>`lower(${sql.ref(column)}${asBytes}) = lower(${value}${asBytes})`;

const textsFrom = words({
  sqlite: '(SELECT value FROM json_each(',
  postgres: '(SELECT value FROM json_array_elements_text(',
});
const textsEnd = words({ sqlite: '))', postgres: '::json))' });

const asJson = words({ sqlite: '', postgres: '::json' });

/** A field of the JSON object that a column holds, as text: written as an index on it has to be, to be found by it. */
export const fieldOf = (column: string, field: string): RawBuilder<string | null> =>
  sql<string | null>`(${sql.ref(column)}${asJson} ->> ${sql.lit(field)})`;

const blankStart = words({ sqlite: "printf('%*s', octet_length(", postgres: "left('', octet_length(" });
const blankEnd = words({ sqlite: "), '')", postgres: '))' });

/**
 * Sets a text to one that says nothing. In SQLite it is of the same length, so it lands where the text was, byte by byte,
 * and nothing beside it is moved; PostgreSQL writes a row anew whatever its length, so there it is empty.
 */
export const blanked = (column: string): RawBuilder<string> =>
  sql<string>`CASE WHEN ${sql.ref(column)} IS NOT NULL THEN ${blankStart}${sql.ref(column)}${blankEnd} END`;

/** The texts of a JSON array, as a list for `in`: one statement, compiled once, for any number of them. */
export const listOf = (json: string): RawBuilder<string> => sql<string>`${textsFrom}${json}${textsEnd}`;

/** What a column holds. */
export type Kind = 'integer' | 'text' | 'bytes';
interface Kinds {
  integer: number;
  text: string;
  bytes: Buffer;
}
const KINDS: Record<Kind, (at: number) => Record<Dialect, string>> = {
  integer: (at) => ({ sqlite: `value ->> ${at}`, postgres: `(value ->> ${at})::bigint` }),
  text: (at) => ({ sqlite: `value ->> ${at}`, postgres: `value ->> ${at}` }),
  // As hex.
  bytes: (at) => ({ sqlite: `unhex(value ->> ${at})`, postgres: `decode(value ->> ${at}, 'hex')` }),
};

/**
 * The rows of a JSON array of arrays, as a table: one statement, compiled once, that writes any number of rows.
 * @param columns in the order of their values; bytes come as hex
 */
export const rowsOf = <C extends Readonly<Record<string, Kind>>>(
  json: string,
  columns: C,
): RawBuilder<{ [N in keyof C]: Kinds[C[N]] }> => {
  const list = (dialect: Dialect) =>
    Object.entries(columns)
      .map(([name, kind], at) => `${KINDS[kind](at)[dialect]} AS "${name}"`)
      .join(', ');
  const from = words({
    sqlite: `(SELECT ${list('sqlite')} FROM json_each(`,
    postgres: `(SELECT ${list('postgres')} FROM json_array_elements(`,
  });
  return sql`${from}${json}${textsEnd}`;
};

/**
 * Writes the rows of a JSON array of arrays into a table, by one statement that is compiled once: `insertRows(db.insertInto('job'),
 * COLUMNS, p('rows')).onConflict(…)`. See {@link rowsJson}.
 */
export const insertRows = <DB, T extends keyof DB, O>(
  into: InsertQueryBuilder<DB, T, O>,
  columns: Readonly<Record<string, Kind>>,
  json: string,
): InsertQueryBuilder<DB, T, O> =>
  into
    .columns(Object.keys(columns) as never)
    // Without a WHERE SQLite takes what follows, ON CONFLICT, for the condition of a join.
    .expression(sql`SELECT * FROM ${rowsOf(json, columns)} AS "new" WHERE true`);

/** @returns rows as {@link rowsOf} reads them */
export const rowsJson = <C extends Readonly<Record<string, Kind>>>(
  columns: C,
  rows: readonly Readonly<Record<keyof C, string | number | Buffer | null>>[],
): string => {
  const asJsonValue = (value: string | number | Buffer | null) =>
    Buffer.isBuffer(value) ? value.toString('hex') : value;
  return JSON.stringify(
    rows.map((row) => Object.keys(columns).map((name) => asJsonValue(row[name as keyof C]))),
  );
};
