import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Problem } from '@aitbc/contracts';
import type { Compilable } from 'kysely';
import pg, { type Client, type QueryResult } from 'pg';
import { clock } from '../../clock.ts';
import { type Hot, resolveForPostgres } from '../../sql.ts';
import { TookTooLong } from '../fault.ts';
import {
  createGroups,
  createTopics,
  FUNCTION_DEADLINE_MS,
  type Hook,
  runHooks,
  settle,
  type Waiting,
} from '../groups.ts';
import type { Migrations, Store, Trx } from '../store.ts';
import { createTally, kindOf } from '../tally.ts';
import { type Address, parseAddress } from './address.ts';
import { createAdoption } from './adoption.ts';
import { checkServer } from './check.ts';
import { isConflict, isConnectionProblem, isFull, isTimeout, serverProblem } from './fault.ts';
import { migrate } from './migrate.ts';
import { tryLock, unlock } from './places.ts';
import { prepareSession, READER } from './session.ts';
import { runGroup, UnsureCommit } from './transaction.ts';
import { createWriter } from './writer.ts';

/** A server that starts again is back in seconds. */
const RETRY_SECONDS = 2;
/** Room is made by a person: sooner than this, asking again is for nothing. */
const FULL_RETRY_SECONDS = 10;
/** So often a group runs again after a conflict, and then each of its functions alone. */
const TRIES_MAX = 6;
const BACK_OFF_FIRST_MS = 2;
/** Reads side by side; the connection that writes comes on top. */
const READ_CONNECTIONS = 8;
/** Reads that wait for a connection beyond this are refused. */
const READS_WAITING_MAX = 20_000;
const PROBE = 'store.write_probe';
/** Who leads, or whose connection was lost while nobody wrote, is looked at so often. */
const LOOK_EVERY_MS = 1_000;
/** What another process says may be lost, with Redis or on the way. */
const LOOK_AGAIN_MS = 2_000;
/** Another process may be walking a large table. */
const MIGRATION_WAIT_MS = 600_000;
const MIGRATION_LOOK_MS = 100;
/** A lost answer is asked for within seconds; this is what processes of long ago left. */
const COMMIT_KEPT_MS = 24 * 3_600_000;

/**
 * Opens (and makes, and migrates) the schema of a service.
 * @param options.url see `parseAddress`
 * @param options.service begins the stream's name, and names the schema
 * @throws naming what the server lacks; when somebody keeps the tables for itself alone; when a migration fails
 */
export const openPostgres = async (options: {
  url: string;
  service: string;
  migrations: Migrations;
  takesTurns?: boolean;
  deadlineMs?: number;
  lockWaitMs?: number;
}): Promise<Store> => {
  const address = parseAddress(options.url, options.service);
  const deadlineMs = options.deadlineMs ?? FUNCTION_DEADLINE_MS;
  await checkServer(address);
  const changes = new Set<() => void>();
  let identity = '';
  const writer = createWriter({
    address,
    service: options.service,
    prepare: async (client) => {
      identity = await prepare(client, address, options);
    },
    onChange: () => {
      for (const listener of changes) listener();
    },
  });
  await writer.open(options.lockWaitMs);

  const pool = new pg.Pool({
    ...address.config,
    max: READ_CONNECTIONS,
    onConnect: (connection) => prepareSession(connection, address.schema, READER),
  });
  // One that idles and is lost: the next read opens another.
  pool.on('error', () => {});

  let problem: string | null = null;
  const refusalFor = (error: unknown): unknown => {
    const found = serverProblem(error);
    if (found === null) return error;
    problem = `${address.name} cannot be written: ${found}`;
    return new Problem('SERVICE_UNAVAILABLE', 'Nothing can be saved at the moment; try again shortly.', {
      retryAfterSeconds: isFull(error) ? FULL_RETRY_SECONDS : RETRY_SECONDS,
    });
  };

  const topics = createTopics({ lookAgainMs: LOOK_AGAIN_MS });
  let publish: (topics: readonly string[]) => void = () => {};
  /** What the hooks of a commit notify goes to the other processes at once. */
  const runAndPublish = (hooks: readonly Hook[]): void => {
    runHooks(hooks);
    const all = [...notified];
    notified.clear();
    if (all.length > 0) publish(all);
  };
  const notified = new Set<string>();
  const wake = (topic: string): void => {
    topics.wake(topic);
    if (!topics.isLocal(topic)) notified.add(topic);
  };
  const tally = createTally();
  const rejectAll = (group: readonly Waiting[], error: unknown): void => {
    for (const item of group) item.reject(error);
  };

  /** Runs a group, again after each conflict. Tells each of its functions what came of it; never throws. */
  const commit = async (group: readonly Waiting[]): Promise<void> => {
    for (let tries = 1; ; tries += 1) {
      try {
        const ran = await runGroup(await writer.connected(), group, {
          writer: writer.name,
          wake,
          deadlineMs,
          takesTurns: options.takesTurns ?? false,
          tally,
        });
        if (group.some(({ name }) => name === PROBE)) problem = null;
        settle(group, ran.outcomes, refusalFor);
        return runAndPublish(ran.hooks);
      } catch (error) {
        if (isConflict(error)) {
          if (tries < TRIES_MAX) {
            await pause(Math.random() * BACK_OFF_FIRST_MS * 2 ** tries);
            continue;
          }
          if (group.length === 1) return rejectAll(group, tooManyConflicts());
          for (const item of group) await commit([item]);
          return;
        }
        if (error instanceof UnsureCommit) {
          const { ran } = error;
          const arrived = await writer.findOut(error.token, (isCommitted) => {
            if (isCommitted) runAndPublish(ran.hooks);
          });
          if (arrived) return settle(group, ran.outcomes, refusalFor);
        }
        // Also one that still stands may lead to a server that only follows now.
        if (isConnectionProblem(error)) writer.drop();
        const refusal = refusalFor(error instanceof UnsureCommit ? error.cause : error);
        rejectAll(group, refusal);
        // Those behind would each wait for the same server.
        if (refusal !== error) groups.refuse(refusal);
        return;
      }
    }
  };
  const groups = createGroups(commit);

  const adoption = createAdoption({
    pool,
    schema: address.schema,
    writer,
    between: (chore) => groups.between(chore),
  });

  /** Opens what was lost although nobody writes, and looks whether somebody has to lead. */
  let isLooking = false;
  const look = async (): Promise<void> => {
    if (isLooking) return;
    isLooking = true;
    // The server is away: it comes back with the next look.
    await groups.between(writer.tryToLead).catch(() => {});
    isLooking = false;
  };
  await look();
  const looking = setInterval(look, LOOK_EVERY_MS).unref();

  const read = async (
    query: Compilable<unknown> | Hot<never, unknown>,
    values: never,
  ): Promise<QueryResult> => {
    if (pool.waitingCount >= READS_WAITING_MAX)
      throw new Problem('OVERLOADED', 'Too much work is waiting; try again shortly.', {
        retryAfterSeconds: 1,
      });
    const config = resolveForPostgres(query, values);
    tally.add(kindOf(config.text));
    try {
      return await pool.query(config);
    } catch (error) {
      if (serverProblem(error) === null) throw error;
      // Each connection of the pool finds out by itself that its server has started again; a read may run twice.
      return pool.query(config);
    }
  };
  const refused = (error: unknown): never => {
    if (isTimeout(error)) throw new TookTooLong('a statement that reads took too long', { cause: error });
    // These connections read only, by their own setting: that is a bug of the caller.
    throw (error as { code?: unknown }).code === '25006' ? error : refusalFor(error);
  };

  let closing: Promise<void> | undefined;
  return {
    read: {
      all: async (query: never, values?: never) =>
        (await read(query, values as never).catch(refused)).rows as never,
      get: async (query: never, values?: never) =>
        (await read(query, values as never).catch(refused)).rows[0] as never,
    },
    transact: groups.transact,
    writeProblem: async () => {
      if (problem === null) return null;
      // Rows of its own are needed, or a nearly full disk would look well.
      await groups.transact(PROBE, (trx) => writeProbe(trx, writer.place())).catch(() => {});
      return problem;
    },
    path: address.name,
    identity,
    isShared: true,
    get place() {
      return writer.place();
    },
    get stream() {
      return writer.stream();
    },
    leads: writer.leads,
    streams: {
      held: writer.held,
      onChange: (listener) => {
        changes.add(listener);
        return () => void changes.delete(listener);
      },
      ...adoption,
    },
    linkTopics: (publishTo) => {
      publish = publishTo;
      return (those) => those.forEach(topics.wake);
    },
    waiting: groups.waiting,
    statements: tally.counts,
    subscribe: topics.subscribe,
    emptyLog: async () => true,
    shrink: async () => ({ found: 0, tookMs: 0 }),
    backup: async () => {
      throw new Error('PostgreSQL is copied with its own means: pg_dump, or a base backup');
    },
    close: () => {
      closing ??= (async () => {
        clearInterval(looking);
        topics.stop();
        await groups.close();
        await writer.close();
        await pool.end();
      })();
      return closing;
    },
  };
};

const tooManyConflicts = () =>
  new Problem('OVERLOADED', 'Others changed the same each time; try again shortly.', {
    retryAfterSeconds: 1,
  });

/**
 * Brings the schema up to date, one process at a time.
 * @returns the name of the schema's content
 */
const prepare = async (
  client: Client,
  address: Address,
  options: { service: string; migrations: Migrations },
): Promise<string> => {
  const lock = `aitbc.migrate.${address.schema}`;
  const until = performance.now() + MIGRATION_WAIT_MS;
  while (!(await tryLock(client, lock))) {
    if (performance.now() > until)
      throw new Error(`${address.name}: another process has been changing the tables for too long`);
    await pause(MIGRATION_LOOK_MS);
  }
  await migrate(address, options.migrations);
  await client.query('INSERT INTO store_identity (id, stream) VALUES (1, $1) ON CONFLICT DO NOTHING', [
    `${options.service}-${randomBytes(6).toString('hex')}`,
  ]);
  await client.query('DELETE FROM store_commit WHERE committed_at_ms < $1', [clock.nowMs() - COMMIT_KEPT_MS]);
  const { rows } = await client.query<{ stream: string }>('SELECT stream FROM store_identity');
  await unlock(client, lock);
  return (rows[0] as { stream: string }).stream;
};

const statement = (sql: string): Hot<object, unknown> => ({ sql, bind: () => [] });
/** A table of this process alone: several may try at once. */
const probesOf = (place: number) =>
  [
    `CREATE TABLE write_probe_${place} (filler TEXT)`,
    `INSERT INTO write_probe_${place} SELECT repeat('x', 1000) FROM generate_series(1, 16)`,
    `DROP TABLE write_probe_${place}`,
  ].map(statement);
const writeProbe = async (trx: Trx, place: number): Promise<void> => {
  for (const probe of probesOf(place)) await trx.run(probe, {});
};
