import { cardKey } from '@aitbc/contracts';
import { type Kysely, sql } from 'kysely';

const FILTERED = 'region, memory_gb, price_minor, is_available, withdrawn_at_ms';
const SORTS = { newest: 'id', price: 'price_minor, id', rating: 'rating, id', memory: 'memory_gb, id' };

interface Stats {
  model: string;
  total: number;
  available: number;
  rented: number;
  price_sum_whole: number;
  price_sum_minor: number;
  rented_gpu_ms: number;
  offered_gpu_ms: number;
  accrued_at_ms: number;
}

/** Two spellings of one card, as if they had always been one; their integrals meet at the later time. */
const merge = (a: Stats, b: Stats): Stats => {
  const at = Math.max(a.accrued_at_ms, b.accrued_at_ms);
  const sum = (name: Exclude<keyof Stats, 'model'>) => a[name] + b[name];
  const until = (name: 'rented_gpu_ms' | 'offered_gpu_ms', gpus: (stats: Stats) => number) =>
    [a, b].reduce((total, stats) => total + stats[name] + gpus(stats) * (at - stats.accrued_at_ms), 0);
  return {
    model: a.model,
    total: sum('total'),
    available: sum('available'),
    rented: sum('rented'),
    price_sum_whole: sum('price_sum_whole'),
    price_sum_minor: sum('price_sum_minor'),
    rented_gpu_ms: until('rented_gpu_ms', (stats) => stats.rented),
    offered_gpu_ms: until('offered_gpu_ms', (stats) => stats.rented + stats.available),
    accrued_at_ms: at,
  };
};

/**
 * A card is found and counted under the one form of its name (`cardKey`); `model` stays what its owner wrote. From here
 * on `model` in model_stats and model_hour is that form. Where several spellings become one, their hours are forgotten:
 * the utilisation of the last day begins anew.
 */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  const run = (statement: string) => sql.raw(statement).execute(db);
  for (const name of Object.keys(SORTS)) {
    await run(`DROP INDEX gpu_by_${name}`);
    await run(`DROP INDEX gpu_by_model_${name}`);
  }
  await run(`ALTER TABLE gpu ADD COLUMN model_key TEXT NOT NULL DEFAULT ''`);
  const { rows: models } = await sql<{ model: string }>`SELECT DISTINCT model FROM gpu`.execute(db);
  for (const { model } of models)
    await sql`UPDATE gpu SET model_key = ${cardKey(model)} WHERE model = ${model}`.execute(db);
  for (const [name, key] of Object.entries(SORTS)) {
    await run(
      `CREATE INDEX gpu_by_${name} ON gpu (${key}, model_key, ${FILTERED}) WHERE withdrawn_at_ms IS NULL`,
    );
    await run(
      `CREATE INDEX gpu_by_model_${name} ON gpu (model_key, ${key}, ${FILTERED}) WHERE withdrawn_at_ms IS NULL`,
    );
  }

  const { rows } = await sql<Stats>`SELECT * FROM model_stats`.execute(db);
  const groups = new Map<string, Stats[]>();
  for (const stats of rows) {
    const key = cardKey(stats.model);
    groups.set(key, [...(groups.get(key) ?? []), stats]);
  }
  for (const [key, spellings] of groups) {
    const [only, ...others] = spellings as [Stats, ...Stats[]];
    if (others.length === 0 && only.model === key) continue;
    const merged = others.reduce(merge, only);
    for (const { model } of others) {
      await sql`DELETE FROM model_hour WHERE model = ${model}`.execute(db);
      await sql`DELETE FROM model_stats WHERE model = ${model}`.execute(db);
    }
    if (others.length > 0) await sql`DELETE FROM model_hour WHERE model = ${only.model}`.execute(db);
    if (only.model !== key) {
      await sql`INSERT INTO model_stats SELECT ${key}, total, available, rented, price_sum_whole, price_sum_minor,
                  rented_gpu_ms, offered_gpu_ms, accrued_at_ms FROM model_stats WHERE model = ${only.model}`.execute(
        db,
      );
      await sql`UPDATE model_hour SET model = ${key} WHERE model = ${only.model}`.execute(db);
      await sql`DELETE FROM model_stats WHERE model = ${only.model}`.execute(db);
    }
    await sql`UPDATE model_stats SET total = ${merged.total}, available = ${merged.available}, rented = ${merged.rented},
                price_sum_whole = ${merged.price_sum_whole}, price_sum_minor = ${merged.price_sum_minor},
                rented_gpu_ms = ${merged.rented_gpu_ms}, offered_gpu_ms = ${merged.offered_gpu_ms},
                accrued_at_ms = ${merged.accrued_at_ms} WHERE model = ${key}`.execute(db);
  }
};
