import type { Reader } from '@aitbc/chassis';
import {
  CURRENCY,
  cardKey,
  fromMinor,
  MINOR_PER_AITBC,
  type marketRoutes,
  type ReplyOf,
} from '@aitbc/contracts';
import { priceStep } from './domain/price.ts';
import { type Clock, dearest, findStats, pricesFrom, utilizationOf } from './store/stats.ts';
import { viewFactors } from './views.ts';

/**
 * What a model costs. Counts and sum are kept as offers change; lowest, highest and middle are places in the index of
 * the model's prices. @returns null when nobody offers the model.
 */
export const modelPricing = async (
  reader: Reader,
  name: string,
  clock: Clock,
): Promise<ReplyOf<typeof marketRoutes.pricing>['body'] | null> => {
  const model = cardKey(name);
  const stats = await findStats(reader, model);
  if (stats === undefined || stats.total === 0) return null;
  const { total, available } = stats;
  const priceAt = async (offset: number): Promise<number> =>
    (await reader.get(pricesFrom, { model, offset, limit: 1 }))?.price_minor ?? 0;
  const middle = await reader.all(pricesFrom, {
    model,
    offset: Math.floor((total - 1) / 2),
    limit: total % 2 === 0 ? 2 : 1,
  });
  const median = Math.round(middle.reduce((sum, row) => sum + row.price_minor, 0) / middle.length);
  const step = priceStep({
    baseMinor: median,
    previousMinor: median,
    utilization: await utilizationOf(reader, stats, clock),
    competingOffers: total,
    competingAvailable: available,
  });
  return {
    model: name,
    currency: CURRENCY,
    min_price: fromMinor(await priceAt(0)),
    max_price: fromMinor((await reader.get(dearest, { model }))?.price_minor ?? 0),
    average_price: fromMinor(
      Math.round((stats.price_sum_whole / total) * MINOR_PER_AITBC + stats.price_sum_minor / total),
    ),
    median_price: fromMinor(median),
    available,
    total,
    utilization_24h: step.utilization,
    suggested_price: fromMinor(step.priceMinor),
    factors: viewFactors(step, clock.now),
  };
};
