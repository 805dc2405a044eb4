import {
  type Compilable,
  type CompiledQuery,
  DummyDriver,
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';

// How SQL is built. What runs it is the store.

class Placeholder {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** Set while {@link hot} compiles. */
let inlinesConstants = false;

class Compiler extends SqliteQueryCompiler {
  protected override appendValue(value: unknown): void {
    if (inlinesConstants && !(value instanceof Placeholder)) this.appendImmediateValue(value);
    else super.appendValue(value);
  }
}

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
      createQueryCompiler: () => new Compiler(),
    },
  });

/** Stands for a value that is given at each run: `p('id')` has the type of the parameter `id`. */
export type Params<P> = <K extends keyof P & string>(name: K) => P[K];

/** A statement compiled once; see {@link hot}. */
export interface Hot<P, R> {
  readonly sql: string;
  readonly bind: (values: P) => unknown[];
  readonly row?: R;
}

/**
 * Compiles a statement once, for paths that run thousands of times a second (Kysely compiles in ~12 µs, SQLite
 * inserts in ~5 µs). Constants become literals: beside a partial index a bound constant makes SQLite plan anew at each
 * run (45 µs). `const findJob = hot((p: Params<{ id: string }>) => db.selectFrom('job').where('id', '=', p('id')))`.
 */
export const hot = <P, R>(build: (param: Params<P>) => Compilable<R>): Hot<P, R> => {
  const query = build(((name: string) => new Placeholder(name)) as unknown as Params<P>);
  inlinesConstants = true;
  let compiled: CompiledQuery;
  try {
    compiled = query.compile();
  } finally {
    inlinesConstants = false;
  }
  const { sql, parameters } = compiled;
  const names = parameters.map((placeholder) => (placeholder as Placeholder).name);
  return { sql, bind: (values) => names.map((name) => (values as Record<string, unknown>)[name]) };
};

/** @returns the text and its parameters in order. */
export const resolveQuery = (
  query: Compilable<unknown> | Hot<never, unknown>,
  values: never,
): [string, readonly unknown[]] => {
  if ('bind' in query) return [query.sql, query.bind(values)];
  const compiled: CompiledQuery = query.compile();
  return [compiled.sql, compiled.parameters];
};
