import type { Pool } from 'pg';
import type { Streams } from '../store.ts';
import { className } from './places.ts';
import type { Writer } from './writer.ts';

/** A process that died is mostly back by then, and takes up its stream itself. */
const ADOPT_AFTER_MS = 3_000;

/** The places that have a stream and nobody who holds it. */
const FREE_STREAMS = `
  SELECT place, stream FROM store_stream WHERE place NOT IN (
    SELECT objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = (hashtext($1)::bigint & 4294967295)::oid)`;
/** The last number of a stream to each destination: it says whether anything was added. */
const LAST_NUMBERS = `
  SELECT DISTINCT ON (destination) destination, seq FROM outbox WHERE stream = $1
  ORDER BY destination, seq DESC`;

/**
 * Takes over what processes left that died, and lets go of it again.
 * @param options.between runs something while no transaction does
 */
export const createAdoption = (options: {
  pool: Pool;
  schema: string;
  writer: Writer;
  between: (chore: () => Promise<void>) => Promise<void>;
}): Pick<Streams, 'adopt' | 'release'> => {
  const { pool, schema, writer, between } = options;
  /** Streams of which all was acknowledged, with their last numbers then. */
  const finished = new Map<string, string>();
  /** Seen free since, in monotonic milliseconds. */
  const freeSince = new Map<string, number>();
  const lastNumbers = async (stream: string): Promise<string> =>
    JSON.stringify((await pool.query(LAST_NUMBERS, [stream])).rows);

  return {
    adopt: async () => {
      const { rows } = await pool.query<{ place: number; stream: string }>(FREE_STREAMS, [className(schema)]);
      const now = performance.now();
      for (const stream of freeSince.keys())
        if (!rows.some((row) => row.stream === stream)) freeSince.delete(stream);
      for (const { place, stream } of rows) {
        const since = freeSince.get(stream) ?? now;
        freeSince.set(stream, since);
        if (now - since < ADOPT_AFTER_MS || finished.get(stream) === (await lastNumbers(stream))) continue;
        await between(() => writer.adopt(place, stream));
      }
    },
    release: async (stream) => {
      finished.set(stream, await lastNumbers(stream));
      await between(() => writer.release(stream));
    },
  };
};
