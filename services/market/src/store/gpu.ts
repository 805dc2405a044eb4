import { builder, deleteMany, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { Standing } from '../domain/rating.ts';
import { isAvailable, tallyDifference, tallyOf } from '../domain/tally.ts';
import type { Gpu, PriceEntry, Tables } from '../tables.ts';
import { type Clock, countChange } from './stats.ts';

const db = builder<Tables>();

const byId = hot((p: Params<{ id: string }>) =>
  db.selectFrom('gpu').selectAll().where('id', '=', p('id')).where('withdrawn_at_ms', 'is', null),
);
const offerById = hot((p: Params<{ id: string }>) =>
  db
    .selectFrom('gpu')
    .innerJoin('owner', 'owner.account_id', 'gpu.owner_id')
    .selectAll('gpu')
    .select('owner.interruptions')
    .where('gpu.id', '=', p('id'))
    .where('gpu.withdrawn_at_ms', 'is', null),
);
const takeSlot = hot((p: Params<{ account_id: string; max: number }>) =>
  db
    .insertInto('owner')
    .values({ account_id: p('account_id'), offers: 1, interruptions: 0 })
    .onConflict((conflict) =>
      conflict
        .column('account_id')
        .doUpdateSet((eb) => ({ offers: eb('owner.offers', '+', 1) }))
        .where('owner.offers', '<', p('max')),
    ),
);

/** An offer with its owner's record, as the lists show it. */
export type Offer = Gpu & { interruptions: number };

/** @returns undefined also for a withdrawn GPU: it exists for its orders alone. */
export const findGpu = (reader: Reader, id: string): Promise<Gpu | undefined> => reader.get(byId, { id });

export const findOffer = (reader: Reader, id: string): Promise<Offer | undefined> =>
  reader.get(offerById, { id });

/** @returns false when the account has `max` offers already. */
export const takeOfferSlot = async (trx: Trx, accountId: string, max: number): Promise<boolean> =>
  (await trx.run(takeSlot, { account_id: accountId, max })) === 1;

export const giveOfferSlotBack = async (trx: Trx, accountId: string): Promise<void> => {
  await trx.run(
    db
      .updateTable('owner')
      .set((eb) => ({ offers: eb('offers', '-', 1) }))
      .where('account_id', '=', accountId),
  );
};

const ratingOf = hot((p: Params<{ account_id: string }>) =>
  db
    .selectFrom('owner')
    .select(['rating_weighted', 'rating_weight', 'rating', 'reviewer_count'])
    .where('account_id', '=', p('account_id')),
);
/** Where an owner stands: all that it offers stands there too. */
export const findOwnerRating = async (reader: Reader, accountId: string): Promise<Standing> => {
  const found = await reader.get(ratingOf, { account_id: accountId });
  if (found === undefined) throw new Error(`nobody with offers is ${accountId}`);
  return found;
};

/** In one statement for the owner and one for all it offers: 2,000 at most, which takes 10 ms. */
export const rateOwner = async (trx: Trx, accountId: string, rating: Standing): Promise<void> => {
  await trx.run(db.updateTable('owner').set(rating).where('account_id', '=', accountId));
  await trx.run(
    db.updateTable('gpu').set(rating).where('owner_id', '=', accountId).where('withdrawn_at_ms', 'is', null),
  );
};

export const markInterruption = async (trx: Trx, accountId: string): Promise<void> => {
  await trx.run(
    db
      .updateTable('owner')
      .set((eb) => ({ interruptions: eb('interruptions', '+', 1) }))
      .where('account_id', '=', accountId),
  );
};

export const insertGpu = async (trx: Trx, gpu: Omit<Gpu, 'is_available'>, clock: Clock): Promise<void> => {
  const row = { ...gpu, is_available: Number(isAvailable(gpu)) };
  await trx.run(db.insertInto('gpu').values(row));
  await countGpu(trx, null, row, clock);
};

/** The one way a GPU's row changes, so that its availability and the counters of its model change with it. */
export const updateGpu = async (
  trx: Trx,
  gpu: Gpu,
  changes: Partial<Omit<Gpu, 'is_available'>>,
  clock: Clock,
): Promise<void> => {
  const next = { ...gpu, ...changes };
  next.is_available = Number(isAvailable(next));
  await trx.run(
    db
      .updateTable('gpu')
      .set({ ...changes, is_available: next.is_available, updated_at_ms: clock.now })
      .where('id', '=', gpu.id),
  );
  await countGpu(trx, gpu, next, clock);
};

const countGpu = async (trx: Trx, before: Gpu | null, after: Gpu, clock: Clock): Promise<void> => {
  const change = tallyDifference(tallyOf(before), tallyOf(after));
  if (change !== null) await countChange(trx, after.model_key, change, clock);
};

// ── Prices ──────────────────────────────────────────────────────────────────────────────────────────────────────

const PRICES_SHOWN = 20;

const dueForReprice = hot((p: Params<{ now: number; limit: number }>) =>
  db
    .selectFrom('gpu')
    .select('id')
    .where('reprice_at_ms', 'is not', null)
    .where('reprice_at_ms', '<=', p('now'))
    .orderBy('reprice_at_ms')
    .limit(p('limit')),
);
export const gpusToReprice = async (reader: Reader, now: number, limit: number): Promise<string[]> =>
  (await reader.all(dueForReprice, { now, limit })).map(({ id }) => id);

export const recordPrice = async (trx: Trx, entry: PriceEntry): Promise<void> => {
  await trx.run(
    db
      .insertInto('price_history')
      .values(entry)
      // Two changes in one millisecond: the later one stands.
      .onConflict((conflict) => conflict.columns(['gpu_id', 'at_ms']).doUpdateSet(entry)),
  );
};

export const recentPrices = (reader: Reader, gpuId: string): Promise<PriceEntry[]> =>
  reader.all(
    db
      .selectFrom('price_history')
      .selectAll()
      .where('gpu_id', '=', gpuId)
      .orderBy('at_ms', 'desc')
      .limit(PRICES_SHOWN),
  );

export const pricesDue = (reader: Reader, beforeMs: number, limit: number) =>
  reader.all(
    db
      .selectFrom('price_history')
      .select(['gpu_id', 'at_ms'])
      .where('at_ms', '<=', beforeMs)
      .orderBy('at_ms')
      .limit(limit),
  );
export const dropPrices = deleteMany<{ gpu_id: string; at_ms: number }>('price_history', {
  gpu_id: 'text',
  at_ms: 'integer',
});

// ── Miners ──────────────────────────────────────────────────────────────────────────────────────────────────────

export const findMiner = (reader: Reader, id: string) =>
  reader.get(db.selectFrom('miner').selectAll().where('id', '=', id));

/** @returns false for a revision that is not newer than the one known. */
export const saveMiner = async (trx: Trx, miner: Tables['miner']): Promise<boolean> =>
  (await trx.run(
    db
      .insertInto('miner')
      .values(miner)
      .onConflict((conflict) =>
        conflict.column('id').doUpdateSet(miner).where('miner.revision', '<', miner.revision),
      ),
  )) === 1;

/** Whether an offer that names no miner counts as present: some miner of the account is active, or it has none. */
export const isAccountPresent = async (reader: Reader, accountId: string): Promise<boolean> => {
  const best = await reader.get(
    db
      .selectFrom('miner')
      .select('is_active')
      .where('account_id', '=', accountId)
      .orderBy('is_active', 'desc')
      .limit(1),
  );
  return best === undefined || best.is_active === 1;
};

/** Offers of an account in one miner, or (null) in none by name. Bounded by the offers an account may have. */
export const offersIn = (reader: Reader, accountId: string, minerId: string | null): Promise<Gpu[]> =>
  reader.all(
    db
      .selectFrom('gpu')
      .selectAll()
      .where('withdrawn_at_ms', 'is', null)
      .where('owner_id', '=', accountId)
      .where('miner_id', minerId === null ? 'is' : '=', minerId),
  );

/** Orders whose GPU is booked and has been away since before `sinceMs`. */
export const absentBookings = async (reader: Reader, sinceMs: number, limit: number): Promise<string[]> =>
  (
    await reader.all(
      db
        .selectFrom('gpu')
        .select('booked_order_id')
        .where('absent_since_ms', 'is not', null)
        .where('booked_order_id', 'is not', null)
        .where('absent_since_ms', '<=', sinceMs)
        .orderBy('absent_since_ms')
        .limit(limit),
    )
  ).map(({ booked_order_id }) => booked_order_id as string);
