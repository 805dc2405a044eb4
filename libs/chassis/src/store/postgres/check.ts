import type { Client } from 'pg';
import { type Address, parseAddress } from './address.ts';
import { serverProblem } from './fault.ts';
import { connect, end } from './session.ts';

/** The first with all that is used here; those before it are without security updates since November 2025. */
const OLDEST = 140_000;
/** How often two connections are asked who serves them: a pooler may have served others in between. */
const POOLER_ROUNDS = 3;

interface Facts {
  readonly version: number;
  readonly encoding: string;
  readonly fsync: string;
  readonly is_replica: number;
  readonly has_schema: number;
  readonly may_make_schema: number;
  readonly may_use_schema: number;
}

/** @returns why a service cannot stand on such a server, or null. */
export const unfitness = (facts: Facts, schema: string): string | null => {
  if (facts.version < OLDEST)
    return `is PostgreSQL ${Math.floor(facts.version / 10_000)}, must be ${OLDEST / 10_000} or newer`;
  if (facts.encoding !== 'UTF8') return `has the encoding ${facts.encoding}, must be UTF8`;
  if (facts.fsync !== 'on') return 'has fsync off: a power cut would lose what was answered';
  if (facts.is_replica === 1) return 'is a replica, which takes no writes';
  if (facts.has_schema === 0 && facts.may_make_schema === 0)
    return `has no schema ${schema}, and the user may not make one: GRANT CREATE ON DATABASE, or CREATE SCHEMA ${schema} AUTHORIZATION the user`;
  if (facts.has_schema === 1 && facts.may_use_schema === 0)
    return `does not let the user make tables in the schema ${schema}: GRANT USAGE, CREATE ON SCHEMA ${schema}`;
  return null;
};

const ask = async <T extends object>(client: Client, text: string, values: unknown[] = []): Promise<T> =>
  (await client.query<T>(text, values)).rows[0] as T;

const servedBy = async (client: Client): Promise<number> =>
  (await ask<{ pid: number }>(client, 'SELECT pg_backend_pid() AS pid')).pid;

/** Whether what stands in between gives the same connection to the server to several of ours, one statement each. */
const isShared = async (first: Client, second: Client): Promise<boolean> => {
  const own = await servedBy(first);
  for (let round = 0; round < POOLER_ROUNDS; round += 1) {
    if ((await servedBy(second)) === own || (await servedBy(first)) !== own) return true;
  }
  return false;
};

/**
 * Looks at a server before anything is written to it.
 * @throws naming what is wrong
 */
export const checkServer = async (address: Address): Promise<void> => {
  const refuse = (reason: string): never => {
    throw new Error(`${address.name} ${reason}`);
  };
  const clients: Client[] = [];
  try {
    const first = await connect(address);
    clients.push(first);
    const facts = await ask<Facts>(
      first,
      `SELECT current_setting('server_version_num')::int AS version,
         current_setting('server_encoding') AS encoding,
         current_setting('fsync') AS fsync,
         pg_is_in_recovery() AS is_replica,
         has_database_privilege(current_database(), 'CREATE') AS may_make_schema,
         EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS has_schema,
         coalesce((SELECT has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE')
           FROM pg_namespace WHERE nspname = $1), false) AS may_use_schema`,
      [address.schema],
    );
    const reason = unfitness(facts, address.schema);
    if (reason !== null) refuse(reason);
    const second = await connect(address);
    clients.push(second);
    if (await isShared(first, second))
      refuse(
        'is reached through a pooler that changes the connection between statements: its mode must be "session", or connect without it',
      );
    await first.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
    const { transaction_isolation: level } = await ask<{ transaction_isolation: string }>(
      first,
      'SHOW transaction_isolation',
    );
    await first.query('ROLLBACK');
    if (level !== 'serializable') refuse(`does not do SERIALIZABLE: it makes ${level} of it`);
    if (facts.has_schema === 0)
      await first.query(`CREATE SCHEMA IF NOT EXISTS "${address.schema}"`).catch((error: unknown) => {
        // Of two that make it at once one is told so, in spite of the words.
        if ((error as { code?: unknown }).code !== '23505') throw error;
      });
  } finally {
    clients.forEach(end);
  }
};

/**
 * Looks at the server where a service is to keep its rows, before the service does.
 * @returns what is wrong, in a sentence without the password, or null
 */
export const postgresProblem = async (databaseUrl: string, service: string): Promise<string | null> => {
  const address = parseAddress(databaseUrl, service);
  try {
    await checkServer(address);
    return null;
  } catch (error) {
    const { message } = error as Error;
    const known = serverProblem(error);
    return known === null ? message : `${address.name} cannot be used: ${known}`;
  }
};
