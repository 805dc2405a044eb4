import { randomBytes } from 'node:crypto';
import type { Client } from 'pg';

/** Processes of one service, at most: far more than one PostgreSQL can commit for. */
const PLACES_MAX = 200;

/** What a process holds while its writing connection stands. */
export interface Tenure {
  readonly client: Client;
  readonly place: number;
  readonly stream: string;
  /** See `Trx.counters`; they hold as long as nobody else can have the stream. */
  counters: Map<string, number>;
}

/** Locks with two numbers: a name's, and a place's. Others here have one, of a name's alone. */
const className = (schema: string): string => `aitbc.place.${schema}`;

/** @returns whether the lock is ours now; it goes with the connection. */
export const tryLock = async (client: Client, name: string, mode: '' | '_shared' = ''): Promise<boolean> => {
  const { rows } = await client.query<{ is_ours: number }>(
    `SELECT pg_try_advisory_lock${mode}(hashtextextended($1, 0)) AS is_ours`,
    [name],
  );
  return rows[0]?.is_ours === 1;
};

export const unlock = async (client: Client, name: string): Promise<void> => {
  await client.query('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [name]);
};

/** @returns whether the place is ours now. To be asked once: a connection gets a lock that it has a second time, too. */
export const tryPlace = async (client: Client, schema: string, place: number): Promise<boolean> => {
  const { rows } = await client.query<{ is_ours: number }>(
    'SELECT pg_try_advisory_lock(hashtext($1), $2) AS is_ours',
    [className(schema), place],
  );
  return rows[0]?.is_ours === 1;
};

export const leavePlace = async (client: Client, schema: string, place: number): Promise<void> => {
  await client.query('SELECT pg_advisory_unlock(hashtext($1), $2)', [className(schema), place]);
};

/** The stream that goes with a place; it is made when the place is taken for the first time. */
const streamOf = async (client: Client, service: string, place: number): Promise<string> => {
  // The first place goes on with the name that the schema always had.
  await client.query(
    `INSERT INTO store_stream (place, stream)
     VALUES ($1::bigint, CASE WHEN $1::bigint = 0 THEN (SELECT stream FROM store_identity) ELSE $2 END)
     ON CONFLICT DO NOTHING`,
    [place, `${service}-${randomBytes(6).toString('hex')}`],
  );
  const { rows } = await client.query<{ stream: string }>(
    'SELECT stream FROM store_stream WHERE place = $1',
    [place],
  );
  return (rows[0] as { stream: string }).stream;
};

/**
 * Takes the place that this process had, or the lowest that nobody has.
 * @throws when there is none
 */
export const takePlace = async (
  client: Client,
  options: { schema: string; service: string; before: number | undefined },
): Promise<Tenure> => {
  const { schema, service, before } = options;
  const candidates = Array.from({ length: PLACES_MAX }, (_, place) => place);
  if (before !== undefined) candidates.unshift(before);
  for (const place of candidates) {
    if (!(await tryPlace(client, schema, place))) continue;
    return { client, place, stream: await streamOf(client, service, place), counters: new Map() };
  }
  throw new Error(`${schema}: all ${PLACES_MAX} places of the service are taken`);
};

/** Asks for the places that have a stream and nobody who holds it. */
export const FREE_STREAMS = `
  SELECT place, stream FROM store_stream WHERE place NOT IN (
    SELECT objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = (hashtext($1)::bigint & 4294967295)::oid)`;
export const freeStreamsValues = (schema: string): unknown[] => [className(schema)];

/** Asks for the last number of a stream to each destination: it says whether anything was added. */
export const LAST_NUMBERS = `
  SELECT DISTINCT ON (destination) destination, seq FROM outbox WHERE stream = $1
  ORDER BY destination, seq DESC`;
