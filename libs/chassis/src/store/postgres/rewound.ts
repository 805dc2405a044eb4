import { randomBytes } from 'node:crypto';
import type { ClientBase } from 'pg';

/**
 * Gives the outgoing stream of a schema that was rewound a new name, as `renameStream` does for a file, and numbers what
 * waits from one. What other places had to say is said by the first: their streams end.
 * @returns the new name, and how many messages are said again
 */
export const renameStreams = async (
  client: ClientBase,
  service: string,
): Promise<{ stream: string; outbox: number }> => {
  const stream = `${service}-${randomBytes(6).toString('hex')}`;
  await client.query('BEGIN');
  try {
    await client.query('UPDATE store_identity SET stream = $1', [stream]);
    // Of a release before there were places it has one stream, without a name in its rows.
    const { rows: found } = await client.query(
      `SELECT to_regclass(current_schema() || '.store_stream') AS places`,
    );
    const hasPlaces = found[0].places !== null;
    const key = hasPlaces ? ['stream', 'destination', 'seq'] : ['destination', 'seq'];
    if (hasPlaces) {
      await client.query('DELETE FROM store_stream');
      await client.query('INSERT INTO store_stream VALUES (0, $1)', [stream]);
    }
    // As well as its rows may be those of single messages.
    const { rows: counts } = await client.query(
      `SELECT FROM pg_attribute WHERE attrelid = 'outbox'::regclass AND attname = 'count' AND NOT attisdropped`,
    );
    const [columns, count] =
      counts.length > 0
        ? ['destination, count, messages, created_at_ms', 'count']
        : ['destination, name, version, payload, created_at_ms', '1'];
    // Taken out and put in again: within one statement a new number could meet an old one.
    await client.query(
      `CREATE TEMPORARY TABLE said_again ON COMMIT DROP AS
       SELECT ${columns}, sum(${count}) OVER (PARTITION BY destination ORDER BY ${key.join(', ')})::bigint AS seq FROM outbox`,
    );
    await client.query('DELETE FROM outbox');
    await client.query(
      `INSERT INTO outbox (${columns}, seq${hasPlaces ? ', stream' : ''})
       SELECT ${columns}, seq${hasPlaces ? ', $1' : ''} FROM said_again`,
      hasPlaces ? [stream] : [],
    );
    const { rows: said } = await client.query<{ n: string }>(
      `SELECT coalesce(sum(${count}), 0) AS n FROM outbox`,
    );
    await client.query('COMMIT');
    return { stream, outbox: Number(said[0]?.n) };
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
};
