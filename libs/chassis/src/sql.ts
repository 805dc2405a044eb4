import { Problem } from '@aitbc/contracts';
import {
  type Compilable,
  DummyDriver,
  Kysely,
  type RootOperationNode,
  SqliteAdapter,
  SqliteIntrospector,
} from 'kysely';
import { compileWith, createCompiler, nodeOf, Placeholder } from './store/dialect.ts';

// How SQL is built. What runs it is the store.

/**
 * A Kysely that only builds SQL: `const db = builder<Tables>()`. Its queries are run by the store's `Reader` and `Trx`,
 * which know the engine.
 */
export const builder = <Tables>(): Kysely<Tables> =>
  new Kysely<Tables>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new SqliteIntrospector(db),
      createQueryCompiler: () => createCompiler('sqlite'),
    },
  });

/** Stands for a value that is given at each run: `p('id')` has the type of the parameter `id`. */
export type Params<P> = <K extends keyof P & string>(name: K) => P[K];

/** A statement compiled once; see {@link hot}. */
export interface Hot<P, R> {
  /** As SQLite reads it. */
  readonly sql: string;
  readonly bind: (values: P) => unknown[];
  /** What it asks, for an engine that reads something else. */
  readonly node?: RootOperationNode;
  readonly row?: R;
}

const compileHot = (dialect: 'sqlite' | 'postgres', node: RootOperationNode) => {
  const { sql, parameters } = compileWith(dialect, node, 'literal');
  const names = parameters.map((placeholder) => (placeholder as Placeholder).name);
  return { sql, bind: (values: unknown) => names.map((name) => (values as Record<string, unknown>)[name]) };
};

/**
 * Compiles a statement once, for paths that run thousands of times a second (Kysely compiles in ~12 µs, SQLite
 * inserts in ~5 µs). It is planned once too, whatever its values: SQLite cannot look into them, and constants become
 * literals: beside a partial index a bound constant makes SQLite plan anew at each run (45 µs), and keeps PostgreSQL
 * from that index. So what a partial index asks for is never a parameter.
 * `const findJob = hot((p: Params<{ id: string }>) => db.selectFrom('job').where('id', '=', p('id')))`.
 */
export const hot = <P, R>(build: (param: Params<P>) => Compilable<R>): Hot<P, R> => {
  const node = nodeOf(build(((name: string) => new Placeholder(name)) as unknown as Params<P>));
  return { ...compileHot('sqlite', node), node };
};

type Query = Compilable<unknown> | Hot<never, unknown>;

/** @returns the text and its parameters in order. */
export const resolveQuery = (query: Query, values: never): [string, readonly unknown[]] => {
  if ('bind' in query) return [query.sql, query.bind(values)];
  const compiled = query.compile();
  return [compiled.sql, compiled.parameters];
};

interface Prepared {
  readonly name: string;
  readonly sql: string;
  readonly bind: (values: never) => unknown[];
}
const prepared = new WeakMap<object, Prepared>();
let preparedCount = 0;

/**
 * PostgreSQL keeps no NUL in a text, and SQLite does; no field of a contract that is kept as text has a use for one.
 * @throws Problem VALIDATION_ERROR
 */
export const withoutNul = (values: readonly unknown[]): unknown[] => {
  for (const value of values)
    if (typeof value === 'string' && value.includes('\0'))
      throw new Problem(
        'VALIDATION_ERROR',
        'A text of this request holds the character NUL (U+0000), which is not kept.',
      );
  return values as unknown[];
};

/** The same for PostgreSQL; what is hot has a name, under which a connection keeps it prepared. */
export const resolveForPostgres = (
  query: Query,
  values: never,
): { name?: string; text: string; values: unknown[] } => {
  if (!('bind' in query)) {
    const { sql, parameters } = compileWith('postgres', nodeOf(query), 'bound');
    return { text: sql, values: withoutNul(parameters) };
  }
  let found = prepared.get(query);
  if (found === undefined) {
    preparedCount += 1;
    const compiled = query.node === undefined ? query : compileHot('postgres', query.node);
    found = { name: `hot_${preparedCount}`, sql: compiled.sql, bind: compiled.bind };
    prepared.set(query, found);
  }
  return { name: found.name, text: found.sql, values: withoutNul(found.bind(values)) };
};
