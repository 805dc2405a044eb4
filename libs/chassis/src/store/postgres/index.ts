import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Problem } from '@aitbc/contracts';
import type { Compilable } from 'kysely';
import pg, { type QueryResult } from 'pg';
import { type Hot, resolveForPostgres } from '../../sql.ts';
import {
  createGroups,
  createTopics,
  FUNCTION_DEADLINE_MS,
  runHooks,
  settle,
  type Waiting,
} from '../groups.ts';
import type { Migrations, Store, Trx } from '../store.ts';
import { createTally, kindOf } from '../tally.ts';
import { checkServer } from './check.ts';
import { isConflict, serverProblem } from './fault.ts';
import { migrate } from './migrate.ts';
import { parseAddress, prepareSession, READER } from './session.ts';
import { runGroup, UnsureCommit } from './transaction.ts';
import { createWriter } from './writer.ts';

/** A server that starts again is back in seconds. */
const RETRY_SECONDS = 2;
/** So often a group runs again after a conflict, and then each of its functions alone. */
const TRIES_MAX = 6;
const BACK_OFF_FIRST_MS = 2;
/** Reads side by side; the connection that writes comes on top. */
const READ_CONNECTIONS = 8;
/** Reads that wait for a connection beyond this are refused. */
const READS_WAITING_MAX = 20_000;
const PROBE = 'store.write_probe';

/**
 * Opens (and makes, and migrates) the schema of a service.
 * @param options.url see `parseAddress`
 * @param options.service begins the stream's name, and names the schema
 * @throws naming what the server lacks; when another process of the service does not go; when a migration fails
 */
export const openPostgres = async (options: {
  url: string;
  service: string;
  migrations: Migrations;
  deadlineMs?: number;
  lockWaitMs?: number;
}): Promise<Store> => {
  const address = parseAddress(options.url, options.service);
  const deadlineMs = options.deadlineMs ?? FUNCTION_DEADLINE_MS;
  await checkServer(address);
  const writer = createWriter(address);
  const client = await writer.open(options.lockWaitMs);
  let stream: string;
  try {
    await migrate(address, options.migrations);
    await client.query('INSERT INTO store_identity (id, stream) VALUES (1, $1) ON CONFLICT DO NOTHING', [
      `${options.service}-${randomBytes(6).toString('hex')}`,
    ]);
    ({ stream } = (await client.query<{ stream: string }>('SELECT stream FROM store_identity')).rows[0] as {
      stream: string;
    });
  } catch (error) {
    await writer.close();
    throw error;
  }

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
      retryAfterSeconds: RETRY_SECONDS,
    });
  };

  const topics = createTopics();
  const tally = createTally();
  const rejectAll = (group: readonly Waiting[], error: unknown): void => {
    for (const item of group) item.reject(error);
  };

  /** Runs a group, again after each conflict. Tells each of its functions what came of it; never throws. */
  const commit = async (group: readonly Waiting[]): Promise<void> => {
    for (let tries = 1; ; tries += 1) {
      try {
        const ran = await runGroup(await writer.connected(), group, { wake: topics.wake, deadlineMs, tally });
        if (group.some(({ name }) => name === PROBE)) problem = null;
        settle(group, ran.outcomes, refusalFor);
        return runHooks(ran.hooks);
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
            if (isCommitted) runHooks(ran.hooks);
          });
          if (arrived) return settle(group, ran.outcomes, refusalFor);
        }
        // Also one that still stands may lead to a server that only follows now.
        if (serverProblem(error) !== null) writer.drop();
        const refusal = refusalFor(error instanceof UnsureCommit ? error.cause : error);
        rejectAll(group, refusal);
        // Those behind would each wait for the same server.
        if (refusal !== error) groups.refuse(refusal);
        return;
      }
    }
  };
  const groups = createGroups(commit);

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
    // These connections read only, by their own setting: that is a bug of the caller.
    throw (error as { code?: unknown }).code === '25006' ? error : refusalFor(error);
  };

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
      await groups.transact(PROBE, writeProbe).catch(() => {});
      return problem;
    },
    path: address.name,
    stream,
    waiting: groups.waiting,
    statements: tally.counts,
    subscribe: topics.subscribe,
    backup: async () => {
      throw new Error('PostgreSQL is copied with its own means: pg_dump, or a base backup');
    },
    close: async () => {
      await groups.close();
      await writer.close();
      await pool.end();
    },
  };
};

const tooManyConflicts = () =>
  new Problem('OVERLOADED', 'Others changed the same each time; try again shortly.', {
    retryAfterSeconds: 1,
  });

const statement = (sql: string): Hot<object, unknown> => ({ sql, bind: () => [] });
const PROBES = [
  'CREATE TABLE write_probe (filler TEXT)',
  "INSERT INTO write_probe SELECT repeat('x', 1000) FROM generate_series(1, 16)",
  'DROP TABLE write_probe',
].map(statement);
const writeProbe = async (trx: Trx): Promise<void> => {
  for (const probe of PROBES) await trx.run(probe, {});
};
