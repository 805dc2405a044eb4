import type { Handlers, Reader, Store } from '@aitbc/chassis';
import { fromMinor, type legacyMarketRoutes, MINOR_PER_AITBC } from '@aitbc/contracts';
import type { Offer } from './store/gpu.ts';
import { listOffers } from './store/list.ts';
import { allStats } from './store/stats.ts';

const LIMIT = 50;
const LIMIT_MAX = 100;

/** Of all models together. */
const statsOf = async (read: Reader) => {
  const sum = { total: 0, available: 0, price: 0 };
  for (const { total, available, price_sum_whole, price_sum_minor } of await allStats(read)) {
    sum.total += total;
    sum.available += available;
    sum.price += price_sum_whole + price_sum_minor / MINOR_PER_AITBC;
  }
  return {
    totalOffers: sum.total,
    openCapacity: sum.available,
    averagePrice: sum.total === 0 ? 0 : Number((sum.price / sum.total).toFixed(8)),
    activeBids: 0 as const,
  };
};

const offerView = (offer: Offer) => ({
  id: offer.id,
  provider: offer.owner_id,
  capacity: 1,
  price: fromMinor(offer.price_minor),
  sla: 'standard',
  status: offer.is_available === 1 ? 'open' : 'reserved',
  gpu_model: offer.model,
  gpu_memory_gb: offer.memory_gb,
  cuda_version: offer.cuda_version,
  region: offer.region,
});

/** The market as the original's pages show it. Nobody bids here: a GPU has its price. */
export const legacyHandlers = ({ read }: Store): Handlers<typeof legacyMarketRoutes> => ({
  legacyStats: async () => ({ status: 200, body: await statsOf(read) }),
  legacyOffers: async ({ query: { limit = LIMIT, cursor } }) => {
    const query = { limit: Math.max(1, Math.min(limit, LIMIT_MAX)), cursor };
    const { offers } = await listOffers(read, query);
    return { status: 200, body: offers.slice(0, query.limit).map(offerView) };
  },
});
