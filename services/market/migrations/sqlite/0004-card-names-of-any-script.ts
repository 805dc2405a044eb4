import { cardKey } from '@aitbc/contracts';
import { type Kysely, sql } from 'kysely';

/**
 * `cardKey` took Latin letters and digits alone: cards named in another script shared one key, often the empty one, and
 * with it their counters. Keys are written again, and the counters of each key that lost or got an offer are counted
 * anew; their utilisation of the last day begins anew.
 */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  const { rows } = await sql<{
    model: string;
    model_key: string;
  }>`SELECT DISTINCT model, model_key FROM gpu`.execute(db);
  const touched = new Set<string>();
  for (const { model, model_key } of rows) {
    const key = cardKey(model);
    if (key === model_key) continue;
    touched.add(model_key).add(key);
    await sql`UPDATE gpu SET model_key = ${key} WHERE model = ${model}`.execute(db);
  }
  for (const key of touched) {
    const { rows: before } = await sql<{ accrued_at_ms: number }>`
      SELECT accrued_at_ms FROM model_stats WHERE model = ${key}`.execute(db);
    await sql`DELETE FROM model_hour WHERE model = ${key}`.execute(db);
    await sql`DELETE FROM model_stats WHERE model = ${key}`.execute(db);
    await sql`
      INSERT INTO model_stats (model, total, available, rented, price_sum_whole, price_sum_minor, rented_gpu_ms,
        offered_gpu_ms, accrued_at_ms)
      SELECT model_key, count(*), sum(is_available), sum(is_rented), sum(price_minor / 100000000),
        sum(price_minor % 100000000), 0, 0, max(max(updated_at_ms), ${before[0]?.accrued_at_ms ?? 0})
      FROM gpu WHERE model_key = ${key} AND withdrawn_at_ms IS NULL GROUP BY model_key`.execute(db);
  }
};
