import { mkdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { Problem } from '@aitbc/contracts';
import Database from 'better-sqlite3';
import type { Compilable } from 'kysely';
import { whenIdle } from '../idle.ts';
import { assertInUse, markOfFile } from '../move/mark.ts';
import { type Hot, resolveQuery } from '../sql.ts';
import { assertDurable, BUSY_TIMEOUT_MS, configure, createReader, migrate } from './connection.ts';
import { diskProblem } from './disk.ts';
import { TookTooLong, Undone } from './fault.ts';
import { databasePath, keepPrivate } from './file.ts';
import { createGathering } from './gathering.ts';
import {
  createGroups,
  createTopics,
  FLUSH,
  FUNCTION_DEADLINE_MS,
  type Hook,
  type Outcome,
  runHooks,
  settle,
  type Waiting,
} from './groups.ts';
import { shrinkFile } from './shrink.ts';
import type { Migrations, Store, Trx } from './store.ts';
import { createTally } from './tally.ts';

/** Room is made by a person: sooner than this, asking again is for nothing. */
const DISK_RETRY_SECONDS = 10;
/**
 * Pages that a connection keeps, KB. What is not in it the system's own cache has, a copy of 4 KB away; 16 MB each, as the
 * binding builds SQLite, stayed with the process for ever, because what malloc gets back in the middle it keeps.
 */
const WRITER_PAGES_KB = 6_000;
const READER_PAGES_KB = 2_000;
const PROBE = 'store.write_probe';

/** Resolves when all that runs waits for a socket, a disk or a timer: within this turn of the event loop. */
const untilAllWait = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

/**
 * Opens (and makes, and migrates) the one file of a service.
 * @param options.url see {@link databasePath}
 * @param options.service begins the stream's name
 * @throws when the file is not durable, or a migration fails
 */
export const openSqlite = async (options: {
  url: string;
  service: string;
  migrations: Migrations;
}): Promise<Store> => {
  const path = databasePath(options.url);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  keepPrivate(path);
  await migrate(path, options.migrations, (db) => assertInUse(markOfFile(db), path));

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
  writer.pragma(`cache_size = -${WRITER_PAGES_KB}`);
  readConnection.pragma(`cache_size = -${READER_PAGES_KB}`);
  const stopGivingPagesBack = whenIdle(() => {
    for (const connection of [readConnection, writer]) connection.pragma('shrink_memory');
  });
  const tally = createTally();
  const read = createReader(readConnection, tally);

  // A full disk or an I/O error undoes a whole transaction by itself; what came after it would be written alone.
  const assertRunning = (): void => {
    if (isUndone) throw new Undone();
    if (!writer.inTransaction) throw new Error('SQLite rolled the transaction back');
  };
  /** What this transaction has changed so far, in rows. */
  let changes = 0;
  const writing = createReader(writer, tally, assertRunning, (rows) => {
    changes += rows;
  });
  const { statement } = writing;
  const topics = createTopics();
  const memo = new Map<string, number>();
  const gathering = createGathering();
  let hooks: Hook[] = [];
  /** Run before the commit; before what was gathered is written, too, so that they have that time as well. */
  let early: Hook[] = [];
  let depth = 0;
  /**
   * Savepoints cost payments a fifth of its processor time, for what hardly ever is undone (decisions/0002). So a transaction runs
   * without them first. When a part fails that has changed something, all is undone and runs again, with savepoints.
   */
  let hasSavepoints = false;
  let isUndone = false;

  const savepoint = async <T>(fn: () => T | Promise<T>): Promise<T> => {
    assertRunning();
    const name = `s${depth}`;
    const changesBefore = changes;
    const hooksBefore = hooks.length;
    const earlyBefore = early.length;
    const ungather = gathering.mark();
    const remembered = new Map(memo);
    if (hasSavepoints) statement(`SAVEPOINT ${name}`).run();
    depth += 1;
    try {
      const value = await fn();
      if (hasSavepoints) statement(`RELEASE ${name}`).run();
      return value;
    } catch (error) {
      // Otherwise SQLite has undone it all, and there is no savepoint left.
      if (writer.inTransaction && !hasSavepoints && changes > changesBefore) {
        statement('ROLLBACK').run();
        isUndone = true;
        throw new Undone();
      }
      if (writer.inTransaction && hasSavepoints) {
        statement(`ROLLBACK TO ${name}`).run();
        statement(`RELEASE ${name}`).run();
      }
      hooks.length = hooksBefore;
      early.length = earlyBefore;
      ungather();
      memo.clear();
      for (const [name, value] of remembered) memo.set(name, value);
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
        const changed = statement(sql).run(parameters).changes;
        changes += changed;
        return changed;
      },
      savepoint: async (fn) => {
        assertOpen();
        return savepoint(fn);
      },
      isShared: false,
      stream,
      memo,
      counters: memo,
      afterCommit: (fn) => void hooks.push(fn),
      whileCommitting: (fn) => void early.push(fn),
      notify: (topic) => void hooks.push(() => topics.wake(topic)),
      gather: gathering.add,
      flush: async () => {
        assertOpen();
        await gathering.flush(trx);
      },
    };
    return {
      trx,
      end: () => {
        isOver = true;
      },
    };
  };

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

  const runChecked = async ({ name, fn }: Pick<Waiting, 'name' | 'fn'>): Promise<unknown> => {
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
      if (tookMs > FUNCTION_DEADLINE_MS)
        throw new TookTooLong(`transaction ${name} took ${Math.round(tookMs)} ms`);
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

  let problem: string | null = null;
  const refusalFor = (error: unknown): unknown => {
    const found = diskProblem(error);
    if (found === null) return error;
    problem = `${basename(path)} cannot be written: ${found}`;
    return new Problem('SERVICE_UNAVAILABLE', 'Nothing can be saved at the moment; try again shortly.', {
      retryAfterSeconds: DISK_RETRY_SECONDS,
    });
  };

  /**
   * All of a transaction but its commit.
   * @param outcomes is given what came of each of the group
   * @returns false when all was undone, so that it has to run again
   */
  const runGroup = async (group: readonly Waiting[], outcomes: Outcome[]): Promise<boolean> => {
    hooks = [];
    early = [];
    changes = 0;
    isUndone = false;
    outcomes.length = 0;
    statement('BEGIN IMMEDIATE').run();
    memo.clear();
    gathering.clear();
    try {
      // Alone it needs no savepoint: the transaction is its own.
      const isAlone = group.length === 1;
      for (const item of group) {
        outcomes.push(isAlone ? { ok: true, value: await runChecked(item) } : await runOne(item));
        assertRunning();
      }
    } catch (error) {
      if (isUndone) return false;
      throw error;
    }
    const begun = early.length;
    runHooks(early);
    if (gathering.hasMore()) await runChecked(FLUSH);
    // What was decided while writing what was gathered has a hint, too.
    runHooks(early.slice(begun));
    return true;
  };

  const commit = async (group: readonly Waiting[]): Promise<void> => {
    const outcomes: Outcome[] = [];
    try {
      hasSavepoints = false;
      if (!(await runGroup(group, outcomes))) {
        hasSavepoints = true;
        await runGroup(group, outcomes);
      }
      if (early.length > 0) await untilAllWait();
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
    settle(group, outcomes, refusalFor);
    runHooks(hooks);
  };
  const groups = createGroups(commit);

  const truncateLog = async (): Promise<boolean> => {
    // A copy that is being made reads; this process would stand still until it is done.
    writer.pragma('busy_timeout = 0');
    try {
      const [answer] = writer.pragma('wal_checkpoint(TRUNCATE)') as { busy: number }[];
      return answer?.busy === 0;
    } finally {
      writer.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
    }
  };
  /** The next one, which has not begun: it empties what was written before it does. */
  let emptying: Promise<boolean> | undefined;
  const emptyLog = (): Promise<boolean> => {
    emptying ??= groups
      .between(() => {
        emptying = undefined;
        return truncateLog();
      })
      .then((isEmpty) => isEmpty ?? false);
    return emptying;
  };

  const refused = (error: unknown): never => {
    throw refusalFor(error);
  };

  return {
    read: {
      all: (query: never, values?: never) => read.all(query, values as never).catch(refused) as never,
      get: (query: never, values?: never) => read.get(query, values as never).catch(refused) as never,
    },
    transact: groups.transact,
    writeProblem: async () => {
      if (problem === null) return null;
      // A page of its own is needed, or a nearly full disk would look well.
      await groups
        .transact(PROBE, () => {
          changes += 1;
          writer.exec('CREATE TABLE write_probe (filler BLOB) STRICT');
          writer.exec('INSERT INTO write_probe VALUES (zeroblob(16384))');
          writer.exec('DROP TABLE write_probe');
        })
        .catch(() => {});
      return problem;
    },
    path,
    identity: stream,
    isShared: false,
    place: 0,
    stream,
    leads: () => true,
    streams: {
      held: () => [stream],
      onChange: () => () => {},
      adopt: async () => {},
      release: async () => {},
    },
    linkTopics: () => () => {},
    waiting: groups.waiting,
    statements: tally.counts,
    subscribe: topics.subscribe,
    emptyLog,
    shrink: async (pages) => {
      const freed = await groups.between(async () => shrinkFile(writer, pages));
      return freed ?? { found: 0, tookMs: 0 };
    },
    backup: async (target) => {
      await readConnection.backup(target);
    },
    close: async () => {
      await groups.close();
      stopGivingPagesBack();
      readConnection.close();
      // Leaves one file behind instead of three, so a plain copy of a stopped service is whole.
      writer.pragma('wal_checkpoint(TRUNCATE)');
      writer.close();
    },
  };
};
