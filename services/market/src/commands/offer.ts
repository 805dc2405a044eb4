import type { Trx } from '@aitbc/chassis';
import {
  type BodyOf,
  cardKey,
  type marketRoutes,
  newId,
  notFound,
  type Payload,
  Problem,
  toMinor,
} from '@aitbc/contracts';
import { priceStep } from '../domain/price.ts';
import { tallyOf } from '../domain/tally.ts';
import {
  findGpu,
  findMiner,
  findOwnerRating,
  giveOfferSlotBack,
  insertGpu,
  isAccountPresent,
  offersIn,
  recordPrice,
  saveMiner,
  takeOfferSlot,
  updateGpu,
} from '../store/gpu.ts';
import { hasReservation } from '../store/order.ts';
import { type Clock, findStats, utilizationOf } from '../store/stats.ts';
import type { Gpu } from '../tables.ts';

/** Offers an account may have: a change of its miners touches all of them in one transaction, ~100 ms at most. */
const OFFERS_MAX = 2_000;
/** A dynamic price takes a step so often, in business time; not more than once a second on the clock. */
const REPRICE_EVERY_MS = 10 * 60_000;

export const repriceEveryMs = (scale: number): number => Math.max(1_000, REPRICE_EVERY_MS / scale);

/** Since when an offer is away: null when it is there. @throws Problem MINER_NOT_REGISTERED */
const absenceOf = async (
  trx: Trx,
  accountId: string,
  minerId: string | undefined,
  now: number,
): Promise<number | null> => {
  if (minerId === undefined) return (await isAccountPresent(trx, accountId)) ? null : now;
  const miner = await findMiner(trx, minerId);
  if (miner === undefined || miner.account_id !== accountId)
    throw new Problem('MINER_NOT_REGISTERED', 'No such miner of yours; register it first.');
  return miner.is_active === 1 ? null : now;
};

/** @returns the new offer's id. */
export const register = async (
  trx: Trx,
  accountId: string,
  body: BodyOf<typeof marketRoutes.register>,
  clock: Clock,
): Promise<string> => {
  const { now } = clock;
  const absentSince = await absenceOf(trx, accountId, body.miner_id, now);
  if (!(await takeOfferSlot(trx, accountId, OFFERS_MAX))) {
    throw new Problem('GPU_LIMIT_REACHED', `An account may offer ${OFFERS_MAX} GPUs; withdraw one first.`);
  }
  const id = newId();
  const priceMinor = toMinor(body.price_per_hour);
  await insertGpu(
    trx,
    {
      id,
      owner_id: accountId,
      miner_id: body.miner_id ?? null,
      model: body.model,
      model_key: cardKey(body.model),
      memory_gb: body.memory_gb,
      cuda_version: body.cuda_version ?? null,
      region: body.region,
      capabilities: JSON.stringify(body.capabilities),
      pricing: body.pricing,
      base_minor: priceMinor,
      price_minor: priceMinor,
      reprice_at_ms: body.pricing === 'dynamic' ? now + repriceEveryMs(clock.scale) : null,
      is_offered: 1,
      absent_since_ms: absentSince,
      booked_order_id: null,
      is_rented: 0,
      ...(await findOwnerRating(trx, accountId)),
      created_at_ms: now,
      updated_at_ms: now,
      withdrawn_at_ms: null,
    },
    clock,
  );
  await recordOwnPrice(trx, id, priceMinor, now);
  return id;
};

const recordOwnPrice = (trx: Trx, gpuId: string, priceMinor: number, now: number): Promise<void> =>
  recordPrice(trx, {
    gpu_id: gpuId,
    at_ms: now,
    price_minor: priceMinor,
    base_minor: priceMinor,
    previous_minor: null,
    utilization: null,
    competing_offers: null,
    competing_available: null,
  });

const ownGpu = async (trx: Trx, accountId: string, gpuId: string): Promise<Gpu> => {
  const gpu = await findGpu(trx, gpuId);
  if (gpu === undefined || gpu.owner_id !== accountId) throw notFound('GPU of yours');
  return gpu;
};

export const change = async (
  trx: Trx,
  accountId: string,
  gpuId: string,
  body: BodyOf<typeof marketRoutes.change>,
  clock: Clock,
): Promise<void> => {
  const gpu = await ownGpu(trx, accountId, gpuId);
  const pricing = body.pricing ?? gpu.pricing;
  const base = body.price_per_hour === undefined ? gpu.base_minor : toMinor(body.price_per_hour);
  // A new base starts from itself; a fixed price is its base.
  const price = base !== gpu.base_minor || pricing === 'fixed' ? base : gpu.price_minor;
  const wasDynamic = gpu.pricing === 'dynamic';
  await updateGpu(
    trx,
    gpu,
    {
      pricing,
      base_minor: base,
      price_minor: price,
      reprice_at_ms:
        pricing === 'fixed' ? null : wasDynamic ? gpu.reprice_at_ms : clock.now + repriceEveryMs(clock.scale),
      is_offered: body.available === undefined ? gpu.is_offered : Number(body.available),
    },
    clock,
  );
  if (price !== gpu.price_minor) await recordOwnPrice(trx, gpu.id, price, clock.now);
};

/** @throws Problem GPU_BOOKED while any booking of it is open. */
export const withdraw = async (trx: Trx, accountId: string, gpuId: string, clock: Clock): Promise<void> => {
  const gpu = await ownGpu(trx, accountId, gpuId);
  if (await hasReservation(trx, gpu.id))
    throw new Problem('GPU_BOOKED', 'This GPU has open bookings; let them end or release them first.');
  await updateGpu(trx, gpu, { withdrawn_at_ms: clock.now, reprice_at_ms: null }, clock);
  await giveOfferSlotBack(trx, accountId);
};

/** One step of a dynamic price. */
export const reprice = async (trx: Trx, gpuId: string, clock: Clock): Promise<void> => {
  const gpu = await findGpu(trx, gpuId);
  if (gpu?.reprice_at_ms == null || gpu.reprice_at_ms > clock.now) return;
  const stats = await findStats(trx, gpu.model_key);
  if (stats === undefined) throw new Error(`model ${gpu.model} has an offer and no counters`);
  const own = tallyOf(gpu);
  const step = priceStep({
    baseMinor: gpu.base_minor,
    previousMinor: gpu.price_minor,
    utilization: await utilizationOf(trx, stats, clock),
    competingOffers: stats.total - own.total,
    competingAvailable: stats.available - own.available,
  });
  await updateGpu(
    trx,
    gpu,
    { price_minor: step.priceMinor, reprice_at_ms: clock.now + repriceEveryMs(clock.scale) },
    clock,
  );
  await recordPrice(trx, {
    gpu_id: gpu.id,
    at_ms: clock.now,
    price_minor: step.priceMinor,
    base_minor: step.baseMinor,
    previous_minor: step.previousMinor,
    utilization: step.utilization,
    competing_offers: step.competingOffers,
    competing_available: step.competingAvailable,
  });
};

/** A miner came, went or came back: the offers in it follow, and those of its account that name no miner. */
export const minerChanged = async (
  trx: Trx,
  message: Payload<'miners.changed'>,
  clock: Clock,
): Promise<void> => {
  const isActive = message.status === 'active' ? 1 : 0;
  const isNews = await saveMiner(trx, {
    id: message.miner_id,
    account_id: message.account_id,
    revision: message.revision,
    is_active: isActive,
  });
  if (!isNews) return;
  const follow = async (minerId: string | null, isPresent: boolean) => {
    for (const gpu of await offersIn(trx, message.account_id, minerId)) {
      if ((gpu.absent_since_ms === null) !== isPresent)
        await updateGpu(trx, gpu, { absent_since_ms: isPresent ? null : clock.now }, clock);
    }
  };
  await follow(message.miner_id, isActive === 1);
  await follow(null, await isAccountPresent(trx, message.account_id));
};
