import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Problem } from '@aitbc/contracts';
import Database from 'better-sqlite3';
import { type Compilable, Kysely, SqliteDialect } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { diskProblem } from './disk.ts';
import { type Hot, resolveQuery } from './sql.ts';

/** One group shares one fsync. 64 × ~50 µs of work stays near 3 ms, so nobody waits long for a neighbour. */
const GROUP_MAX = 64;
/** Callers waiting beyond this are refused with 503 rather than queued without end. */
const WAITING_MAX = 20_000;
/** A function still running after this is rolled back: something slow got inside a transaction. */
const FUNCTION_DEADLINE_MS = 5_000;
const STATEMENT_CACHE_MAX = 500;
const BUSY_TIMEOUT_MS = 5_000;

/** Reads. On the read-only connection it sees committed rows alone and never waits for the writer. */
export interface Reader {
  all<R>(query: Compilable<R>): Promise<R[]>;
  all<P, R>(query: Hot<P, R>, values: P): Promise<R[]>;
  get<R>(query: Compilable<R>): Promise<R | undefined>;
  get<P, R>(query: Hot<P, R>, values: P): Promise<R | undefined>;
}

/**
 * A running transaction: reads see its own writes. Comes first in every function that takes part. Such a function may
 * await the store and other such functions, and nothing else: the one writer waits for it.
 */
export interface Trx extends Reader {
  /** @returns the number of rows changed: the answer of a compare-and-set. */
  run(query: Compilable<unknown>): Promise<number>;
  run<P>(query: Hot<P, unknown>, values: P): Promise<number>;
  /** Runs `fn` under its own savepoint: when it throws, its writes alone are undone and the error goes on. */
  savepoint<T>(fn: () => T | Promise<T>): Promise<T>;
  /** Runs after the commit reached the disk; forgotten on roll-back. For waking somebody, never for facts. */
  afterCommit(fn: () => void | Promise<void>): void;
  /**
   * Numbers this transaction knows without looking again, such as a last sequence. Emptied when anything is undone, and
   * with each transaction: another process may write the same file between two.
   */
  readonly memo: Map<string, number>;
  /** Wakes the subscribers of a topic after the commit. */
  notify(topic: string): void;
}

export interface Store {
  readonly read: Reader;
  /**
   * Runs `fn` in a write transaction, durable when the promise resolves. Waiting functions share one
   * `BEGIN IMMEDIATE` and one fsync; several have a savepoint each: a throw undoes that function alone. They run one
   * after the other, never side by side.
   * @param name of the operation, for the error when it is too slow.
   * @throws what `fn` throws; Problem OVERLOADED when too many wait.
   */
  transact<T>(name: string, fn: (trx: Trx) => T | Promise<T>): Promise<T>;
  /** An online, consistent copy of the file. */
  backup(path: string): Promise<void>;
  /** @returns the function that ends the subscription. */
  subscribe(topic: string, listener: () => void): () => void;
  /**
   * Why the file cannot be written (its disk is full, read-only or broken), or null. Asked while it cannot, it tries:
   * so it is null again as soon as there is room, with nothing restarted.
   */
  writeProblem(): Promise<string | null>;
  /** Functions waiting for their turn. */
  readonly waiting: () => number;
  readonly path: string;
  /** Identity of this file's outgoing messages; changes when a restore rewinds it. */
  readonly stream: string;
  close(): Promise<void>;
}

export type Migrations = Record<string, Migration>;

interface Waiting {
  name: string;
  fn: (trx: Trx) => unknown;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

type Outcome = { ok: true; value: unknown } | { ok: false; error: unknown };

/** `sqlite:///relative/file.db`, `sqlite:////absolute/file.db` or a bare path, to a path. */
export const databasePath = (url: string): string => url.replace(/^sqlite:\/\/\//, '');

/** Beside the file, and as secret: SQLite makes them with the file's own mode. */
const COMPANIONS = ['', '-wal', '-shm', '-journal'];

/**
 * Makes a database file the owner's alone, whatever the umask, and also one that was made before this was so. To be
 * called before SQLite opens it: what SQLite makes beside it takes its mode.
 */
export const keepPrivate = (path: string): void => {
  // Opened for appending: made when it is missing, and never emptied.
  closeSync(openSync(path, 'a', 0o600));
  for (const companion of COMPANIONS) if (existsSync(path + companion)) chmodSync(path + companion, 0o600);
};

/** Room is made by a person: sooner than this, asking again is for nothing. */
const DISK_RETRY_SECONDS = 10;
const PROBE = 'store.write_probe';

const assertPragma = (db: Database.Database, name: string, expected: unknown): void => {
  const actual = db.pragma(name, { simple: true });
  if (actual !== expected) throw new Error(`SQLite did not take ${name}: is ${actual}, must be ${expected}`);
};

const configure = (db: Database.Database): void => {
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.pragma('foreign_keys = ON');
  db.pragma('trusted_schema = OFF');
  // The pages that an open savepoint may have to put back: beyond 64 KB they would go to a file, at each statement.
  db.pragma('temp_store = MEMORY');
  db.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
};

// In WAL mode the binding drops to synchronous=NORMAL by itself, which loses the last commits at a power cut:
// so the settings are read back, after a write went through.
const assertDurable = (db: Database.Database): void => {
  assertPragma(db, 'journal_mode', 'wal');
  assertPragma(db, 'synchronous', 2);
  assertPragma(db, 'foreign_keys', 1);
  assertPragma(db, 'trusted_schema', 0);
};

/** @param check runs before every query, and throws when there must be none. */
const createReader = (
  db: Database.Database,
  check: () => void = () => {},
): Reader & { statement: (sql: string) => Database.Statement } => {
  const cache = new Map<string, Database.Statement>();
  const statement = (sql: string): Database.Statement => {
    const found = cache.get(sql);
    if (found !== undefined) return found;
    const made = db.prepare(sql);
    if (cache.size >= STATEMENT_CACHE_MAX) cache.delete(cache.keys().next().value as string);
    cache.set(sql, made);
    return made;
  };
  return {
    statement,
    all: async (query: Compilable<unknown> | Hot<never, unknown>, values?: never) => {
      check();
      const [sql, parameters] = resolveQuery(query, values as never);
      return statement(sql).all(parameters) as never[];
    },
    get: async (query: Compilable<unknown> | Hot<never, unknown>, values?: never) => {
      check();
      const [sql, parameters] = resolveQuery(query, values as never);
      return statement(sql).get(parameters) as never;
    },
  };
};

const migrate = async (path: string, migrations: Migrations): Promise<void> => {
  const connection = new Database(path, { timeout: BUSY_TIMEOUT_MS });
  configure(connection);
  const db = new Kysely<unknown>({ dialect: new SqliteDialect({ database: connection }) });
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => migrations },
    // The chassis' own migrations sort before a service's, also when they come later.
    allowUnorderedMigrations: true,
  });
  try {
    const { error } = await migrator.migrateToLatest();
    if (error !== undefined) throw error;
  } finally {
    await db.destroy();
  }
};

/**
 * Opens (and makes, and migrates) the one file of a service.
 * @param options.url see {@link databasePath}
 * @param options.service begins the stream's name
 * @throws when the file is not durable, or a migration fails
 */
export const openStore = async (options: {
  url: string;
  service: string;
  migrations: Migrations;
}): Promise<Store> => {
  const path = databasePath(options.url);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  keepPrivate(path);
  await migrate(path, options.migrations);

  const writer = new Database(path, { timeout: BUSY_TIMEOUT_MS });
  configure(writer);
  writer
    .prepare(
      `INSERT INTO store_identity (id, stream) VALUES (1, ? || '-' || lower(hex(randomblob(6)))) ON CONFLICT DO NOTHING`,
    )
    .run(options.service);
  assertDurable(writer);
  const { stream } = writer.prepare('SELECT stream FROM store_identity').get() as { stream: string };

  const readConnection = new Database(path, { readonly: true, timeout: BUSY_TIMEOUT_MS });
  const read = createReader(readConnection);

  // A full disk or an I/O error undoes a whole transaction by itself; what came after it would be written alone.
  const assertRunning = (): void => {
    if (!writer.inTransaction) throw new Error('SQLite rolled the transaction back');
  };
  const writing = createReader(writer, assertRunning);
  const { statement } = writing;
  const listeners = new Map<string, Set<() => void>>();
  const memo = new Map<string, number>();
  let hooks: (() => void | Promise<void>)[] = [];
  let depth = 0;

  const savepoint = async <T>(fn: () => T | Promise<T>): Promise<T> => {
    assertRunning();
    const name = `s${depth}`;
    const hooksBefore = hooks.length;
    statement(`SAVEPOINT ${name}`).run();
    depth += 1;
    try {
      const value = await fn();
      statement(`RELEASE ${name}`).run();
      return value;
    } catch (error) {
      // Otherwise there is no savepoint left.
      if (writer.inTransaction) {
        statement(`ROLLBACK TO ${name}`).run();
        statement(`RELEASE ${name}`).run();
      }
      hooks.length = hooksBefore;
      memo.clear();
      throw error;
    } finally {
      depth -= 1;
    }
  };

  /** What one function is given. Once it is over, a part of it that was left behind cannot write into another's. */
  const open = (name: string): { trx: Trx; end: () => void } => {
    let isOver = false;
    const assertOpen = (): void => {
      if (isOver) throw new Error(`transaction ${name} is over: something in it was not awaited`);
    };
    const trx: Trx = {
      all: async (query: never, values?: never) => {
        assertOpen();
        return writing.all(query, values as never) as never;
      },
      get: async (query: never, values?: never) => {
        assertOpen();
        return writing.get(query, values as never) as never;
      },
      run: async (query: Compilable<unknown> | Hot<never, unknown>, values?: never) => {
        assertOpen();
        assertRunning();
        const [sql, parameters] = resolveQuery(query, values as never);
        return statement(sql).run(parameters).changes;
      },
      savepoint: async (fn) => {
        assertOpen();
        return savepoint(fn);
      },
      memo,
      afterCommit: (fn) => void hooks.push(fn),
      notify: (topic) => void hooks.push(() => listeners.get(topic)?.forEach((listener) => void listener())),
    };
    return {
      trx,
      end: () => {
        isOver = true;
      },
    };
  };

  const queue: Waiting[] = [];
  let scheduled = false;
  let closed = false;

  /**
   * SQLite answers at once, so a function that awaits the store alone goes on in the same turn of the event loop. Rejects
   * when a turn has passed: the function waits for something else, and everybody behind it would too.
   */
  const foreignWait = (name: string): { promise: Promise<never>; stop: () => void } => {
    let turn: NodeJS.Immediate;
    const promise = new Promise<never>((_, reject) => {
      turn = setImmediate(() =>
        reject(new Error(`transaction ${name} awaited something that is not the store`)),
      );
    });
    return { promise, stop: () => clearImmediate(turn) };
  };

  const runChecked = async ({ name, fn }: Waiting): Promise<unknown> => {
    const startedAt = performance.now();
    const { trx, end } = open(name);
    try {
      const running = fn(trx);
      let result = running;
      if (running instanceof Promise) {
        const foreign = foreignWait(name);
        result = await Promise.race([running, foreign.promise]).finally(foreign.stop);
      }
      const tookMs = performance.now() - startedAt;
      if (tookMs > FUNCTION_DEADLINE_MS) throw new Error(`transaction ${name} took ${Math.round(tookMs)} ms`);
      return result;
    } finally {
      end();
    }
  };

  /** One of several: what it wrote is undone alone when it throws. */
  const runOne = async (item: Waiting): Promise<Outcome> => {
    try {
      return { ok: true, value: await savepoint(() => runChecked(item)) };
    } catch (error) {
      return { ok: false, error };
    }
  };

  const runHook = (hook: () => void | Promise<void>): void => {
    // A bug, and loud; but the others must be woken first, and the writer must go on until the process ends.
    const fail = (error: unknown): void => {
      setImmediate(() => {
        throw error;
      });
    };
    try {
      const running = hook();
      if (running instanceof Promise) running.catch(fail);
    } catch (error) {
      fail(error);
    }
  };

  let problem: string | null = null;
  const refusalFor = (error: unknown): unknown => {
    const found = diskProblem(error);
    if (found === null) return error;
    problem = `${basename(path)} cannot be written: ${found}`;
    return new Problem('SERVICE_UNAVAILABLE', 'Nothing can be saved at the moment; try again shortly.', {
      retryAfterSeconds: DISK_RETRY_SECONDS,
    });
  };

  const flush = async (): Promise<void> => {
    const group = queue.splice(0, GROUP_MAX);
    hooks = [];
    const outcomes: Outcome[] = [];
    try {
      statement('BEGIN IMMEDIATE').run();
      memo.clear();
      // Alone it needs no savepoint: the transaction is its own.
      const isAlone = group.length === 1;
      for (const item of group) {
        outcomes.push(isAlone ? { ok: true, value: await runChecked(item) } : await runOne(item));
        assertRunning();
      }
      statement('COMMIT').run();
      if (group.some((item) => item.name === PROBE)) problem = null;
    } catch (error) {
      if (writer.inTransaction) statement('ROLLBACK').run();
      // The disk's own word, if one of the group had it: to the others SQLite only says that all was undone.
      const first = outcomes.find((outcome) => !outcome.ok && diskProblem(outcome.error) !== null);
      const refusal = refusalFor(first?.ok === false ? first.error : error);
      for (const item of group) item.reject(refusal);
      return;
    }
    group.forEach((item, index) => {
      const outcome = outcomes[index] as Outcome;
      if (outcome.ok) item.resolve(outcome.value);
      else item.reject(refusalFor(outcome.error));
    });
    for (const hook of hooks) runHook(hook);
  };

  const schedule = (): void => {
    if (scheduled || queue.length === 0) return;
    scheduled = true;
    setImmediate(async () => {
      await flush();
      scheduled = false;
      schedule();
    });
  };

  const transact = <T>(name: string, fn: (trx: Trx) => T | Promise<T>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      if (closed) return reject(new Error(`store is closed: ${name}`));
      if (queue.length >= WAITING_MAX) {
        return reject(
          new Problem('OVERLOADED', 'Too much work is waiting; try again shortly.', {
            retryAfterSeconds: 1,
          }),
        );
      }
      queue.push({ name, fn, resolve: resolve as (value: unknown) => void, reject });
      schedule();
    });

  const reading = <T>(look: () => T): T => {
    try {
      return look();
    } catch (error) {
      throw refusalFor(error);
    }
  };

  return {
    read: {
      all: (query: never, values?: never) => reading(() => read.all(query, values as never)) as never[],
      get: (query: never, values?: never) => reading(() => read.get(query, values as never)) as never,
    },
    transact,
    writeProblem: async () => {
      if (problem === null) return null;
      // A page of its own is needed, or a nearly full disk would look well.
      await transact(PROBE, () => {
        writer.exec('CREATE TABLE write_probe (filler BLOB) STRICT');
        writer.exec('INSERT INTO write_probe VALUES (zeroblob(16384))');
        writer.exec('DROP TABLE write_probe');
      }).catch(() => {});
      return problem;
    },
    path,
    stream,
    waiting: () => queue.length,
    subscribe: (topic, listener) => {
      const set = listeners.get(topic) ?? new Set();
      listeners.set(topic, set.add(listener));
      return () => void set.delete(listener);
    },
    backup: async (target) => {
      await readConnection.backup(target);
    },
    close: async () => {
      closed = true;
      while (scheduled) await new Promise((resolve) => setImmediate(resolve));
      readConnection.close();
      // Leaves one file behind instead of three, so a plain copy of a stopped service is whole.
      writer.pragma('wal_checkpoint(TRUNCATE)');
      writer.close();
    },
  };
};
