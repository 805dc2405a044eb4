import pg, { type Client, type ClientBase, type ClientConfig } from 'pg';
import { type Address, STATEMENT_TIMEOUT_MS } from './address.ts';

/** A transaction whose process hangs lets go of its locks. */
const IDLE_IN_TRANSACTION_MS = 10_000;

/** What every connection is told first. */
const settings = (schema: string, more: readonly string[]): string =>
  [
    `SET search_path TO "${schema}"`,
    "SET TIME ZONE 'UTC'",
    'SET bytea_output TO hex',
    `SET idle_in_transaction_session_timeout TO ${IDLE_IN_TRANSACTION_MS}`,
    ...more,
  ].join('; ');

export const WRITER = [
  `SET statement_timeout TO ${STATEMENT_TIMEOUT_MS}`,
  // What a SERIALIZABLE transaction reads it watches, and of a table read from end to end all: then each write of another
  // process would be a conflict.
  'SET enable_seqscan TO off',
  // A host that is gone says nothing; its locks are free after 11 s and not after two hours.
  'SET tcp_keepalives_idle TO 5',
  'SET tcp_keepalives_interval TO 2',
  'SET tcp_keepalives_count TO 3',
  // Answered is durable: a server may be set up to promise less.
  "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
];
export const READER = [
  `SET statement_timeout TO ${STATEMENT_TIMEOUT_MS}`,
  'SET default_transaction_read_only TO on',
];

export const prepareSession = async (
  client: ClientBase,
  schema: string,
  more: readonly string[],
): Promise<void> => {
  // Also while nobody waits for an answer: without a listener it would end the process.
  client.on('error', () => {});
  await client.query(settings(schema, more));
};

/**
 * @param pipeline answers come in order anyway: what does not wait for the one before is not kept waiting for it
 * @throws what the driver throws
 */
export const connect = async (
  address: Address,
  more: readonly string[] = [],
  pipeline = true,
): Promise<Client> => {
  const client = new pg.Client({ ...address.config, pipeline } as ClientConfig);
  client.on('error', () => {});
  await client.connect();
  try {
    await prepareSession(client, address.schema, more);
  } catch (error) {
    end(client);
    throw error;
  }
  return client;
};

/** Lets go of a connection, whatever its state. */
export const end = (client: Client): void => void client.end().catch(() => {});
