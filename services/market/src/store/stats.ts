import { builder, deleteMany, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { accrue, hourMs, startOfHour, type Tally, UTILIZATION_HOURS } from '../domain/tally.ts';
import type { ModelStats, Tables } from '../tables.ts';

const db = builder<Tables>();

/** The time of a change, and how many times faster booking hours run. */
export interface Clock {
  readonly now: number;
  readonly scale: number;
}

const statsOf = hot((p: Params<{ model: string }>) =>
  db.selectFrom('model_stats').selectAll().where('model', '=', p('model')),
);
/** Of every model that is or was on offer. */
export const allStats = (reader: Reader): Promise<ModelStats[]> =>
  reader.all(db.selectFrom('model_stats').selectAll());

const saveHour = hot(
  (
    p: Params<{
      model: string;
      hour_at_ms: number;
      rented: number;
      available: number;
      rented_gpu_ms: number;
      offered_gpu_ms: number;
    }>,
  ) =>
    db
      .insertInto('model_hour')
      .values({
        model: p('model'),
        hour_at_ms: p('hour_at_ms'),
        rented: p('rented'),
        available: p('available'),
        rented_gpu_ms: p('rented_gpu_ms'),
        offered_gpu_ms: p('offered_gpu_ms'),
      })
      .onConflict((conflict) => conflict.doNothing()),
);
const saveStats = hot((p: Params<ModelStats>) =>
  db
    .updateTable('model_stats')
    .set({
      total: p('total'),
      available: p('available'),
      rented: p('rented'),
      price_sum_whole: p('price_sum_whole'),
      price_sum_minor: p('price_sum_minor'),
      rented_gpu_ms: p('rented_gpu_ms'),
      offered_gpu_ms: p('offered_gpu_ms'),
      accrued_at_ms: p('accrued_at_ms'),
    })
    .where('model', '=', p('model')),
);
const firstHourFrom = hot((p: Params<{ model: string; from: number }>) =>
  db
    .selectFrom('model_hour')
    .selectAll()
    .where('model', '=', p('model'))
    .where('hour_at_ms', '>=', p('from'))
    .orderBy('hour_at_ms')
    .limit(1),
);
/** Along the index of one model by price; `offset` from the cheapest. */
export const pricesFrom = hot((p: Params<{ model: string; offset: number; limit: number }>) =>
  db
    .selectFrom('gpu')
    .select('price_minor')
    .where('withdrawn_at_ms', 'is', null)
    .where('model_key', '=', p('model'))
    .orderBy('price_minor')
    .orderBy('id')
    .limit(p('limit'))
    .offset(p('offset')),
);
export const dearest = hot((p: Params<{ model: string }>) =>
  db
    .selectFrom('gpu')
    .select('price_minor')
    .where('withdrawn_at_ms', 'is', null)
    .where('model_key', '=', p('model'))
    .orderBy('price_minor', 'desc')
    .orderBy('id', 'desc')
    .limit(1),
);

export const findStats = (reader: Reader, model: string): Promise<ModelStats | undefined> =>
  reader.get(statsOf, { model });

/** Counts a change of one offer, after adding the time since the change before to the integrals. */
export const countChange = async (
  trx: Trx,
  model: string,
  change: Tally,
  { now, scale }: Clock,
): Promise<void> => {
  const found = await findStats(trx, model);
  const stats = found ?? {
    model,
    total: 0,
    available: 0,
    rented: 0,
    price_sum_whole: 0,
    price_sum_minor: 0,
    rented_gpu_ms: 0,
    offered_gpu_ms: 0,
    accrued_at_ms: now,
  };
  if (found === undefined) await trx.run(db.insertInto('model_stats').values(stats));
  // A clock set back adds nothing rather than taking away.
  const at = Math.max(now, stats.accrued_at_ms);
  const hour = startOfHour(at, hourMs(scale));
  if (found === undefined || hour > stats.accrued_at_ms) {
    await trx.run(saveHour, {
      model,
      hour_at_ms: hour,
      rented: stats.rented,
      available: stats.available,
      ...accrue(stats, hour - stats.accrued_at_ms),
    });
  }
  await trx.run(saveStats, {
    model,
    total: stats.total + change.total,
    available: stats.available + change.available,
    rented: stats.rented + change.rented,
    price_sum_whole: stats.price_sum_whole + change.price_sum_whole,
    price_sum_minor: stats.price_sum_minor + change.price_sum_minor,
    ...accrue(stats, at - stats.accrued_at_ms),
    accrued_at_ms: at,
  });
};

/** The share of offered GPU time that was rented since the full hour that began 24 hours ago; 0 when none was offered. */
export const utilizationOf = async (
  reader: Reader,
  stats: ModelStats,
  { now, scale }: Clock,
): Promise<number> => {
  const hour = hourMs(scale);
  const from = startOfHour(now - UTILIZATION_HOURS * hour, hour);
  const current = accrue(stats, Math.max(0, now - stats.accrued_at_ms));
  // Nothing changed between `from` and the first hour kept after it (or since, when there is none), so the
  // counters in force before that hour lead back to the integrals at `from`.
  const first = await reader.get(firstHourFrom, { model: stats.model, from });
  const past =
    first === undefined ? accrue(stats, from - stats.accrued_at_ms) : accrue(first, from - first.hour_at_ms);
  const offered = current.offered_gpu_ms - past.offered_gpu_ms;
  if (offered <= 0) return 0;
  return Math.min(1, Math.max(0, (current.rented_gpu_ms - past.rented_gpu_ms) / offered));
};

/** Hours that no window reaches any more. */
export const hoursDue = (reader: Reader, { now, scale }: Clock, limit: number) => {
  const hour = hourMs(scale);
  return reader.all(
    db
      .selectFrom('model_hour')
      .select(['model', 'hour_at_ms'])
      .where('hour_at_ms', '<', startOfHour(now - UTILIZATION_HOURS * hour, hour))
      .orderBy('hour_at_ms')
      .limit(limit),
  );
};
export const dropHours = deleteMany<{ model: string; hour_at_ms: number }>('model_hour', {
  model: 'text',
  hour_at_ms: 'integer',
});
