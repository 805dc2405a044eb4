import {
  CURRENCY,
  fromMinor,
  fromMinorOrNull,
  type marketRoutes,
  type Order as OrderView,
  type ReplyOf,
  toTimestamp,
  toTimestampOrNull,
} from '@aitbc/contracts';
import { toHours } from './domain/order.ts';
import { type PriceStep, priceStep } from './domain/price.ts';
import { evidenceOf, shownRating } from './domain/rating.ts';
import type { Offer } from './store/gpu.ts';
import type { Order, PriceEntry, Review } from './tables.ts';

type Body<K extends keyof typeof marketRoutes> = ReplyOf<(typeof marketRoutes)[K]>['body'];

export const viewOffer = (offer: Offer): Body<'register'> => ({
  id: offer.id,
  owner_id: offer.owner_id,
  miner_id: offer.miner_id,
  model: offer.model,
  memory_gb: offer.memory_gb,
  cuda_version: offer.cuda_version,
  region: offer.region,
  capabilities: JSON.parse(offer.capabilities),
  available: offer.is_available === 1,
  booked: offer.booked_order_id !== null,
  pricing: offer.pricing,
  price_per_hour: fromMinor(offer.price_minor),
  base_price_per_hour: fromMinor(offer.base_minor),
  currency: CURRENCY,
  rating: shownRating(offer),
  rating_count: offer.reviewer_count,
  rating_weight: evidenceOf(offer),
  owner_interruptions: offer.interruptions,
  created_at: toTimestamp(offer.created_at_ms),
  updated_at: toTimestamp(offer.updated_at_ms),
});

export const viewFactors = (step: PriceStep, atMs: number): Body<'pricing'>['factors'] => ({
  base_price: fromMinor(step.baseMinor),
  previous_price: fromMinor(step.previousMinor),
  utilization_24h: step.utilization,
  competing_offers: step.competingOffers,
  competing_available: step.competingAvailable,
  demand_factor: step.demandFactor,
  competition_factor: step.competitionFactor,
  multiplier: step.multiplier,
  target_price: fromMinor(step.targetMinor),
  step_min: fromMinor(step.stepMinMinor),
  step_max: fromMinor(step.stepMaxMinor),
  price: fromMinor(step.priceMinor),
  computed_at: toTimestamp(atMs),
});

/** The factors of a step as it was taken; null for a price that the owner set. */
const factorsOf = (entry: PriceEntry | undefined) =>
  entry === undefined || entry.previous_minor === null
    ? null
    : viewFactors(
        priceStep({
          baseMinor: entry.base_minor,
          previousMinor: entry.previous_minor,
          utilization: entry.utilization ?? 0,
          competingOffers: entry.competing_offers ?? 0,
          competingAvailable: entry.competing_available ?? 0,
        }),
        entry.at_ms,
      );

type Window = Pick<Order, 'start_at_ms' | 'end_at_ms'>;
const viewWindow = (window: Window) => ({
  start_time: toTimestamp(window.start_at_ms),
  end_time: toTimestamp(window.end_at_ms),
});

export const viewOfferDetail = (
  offer: Offer,
  current: Window | undefined,
  upcoming: readonly Window[],
  prices: readonly PriceEntry[],
): Body<'get'> => ({
  ...viewOffer(offer),
  current_booking: current === undefined ? null : viewWindow(current),
  upcoming_bookings: upcoming.map(viewWindow),
  price_factors: offer.pricing === 'dynamic' ? factorsOf(prices[0]) : null,
  price_history: prices.map((entry) => ({
    price_per_hour: fromMinor(entry.price_minor),
    at: toTimestamp(entry.at_ms),
  })),
});

export const viewOrder = (order: Order): OrderView => {
  // A hold that came after its order was cancelled goes back whole.
  const paid = order.status === 'cancelled' && order.payment_id !== null ? 0 : order.pay_minor;
  return {
    id: order.id,
    gpu_id: order.gpu_id,
    gpu_model: order.model,
    booker_id: order.booker_id,
    owner_id: order.owner_id,
    job_id: order.job_id,
    status: order.status,
    reason: order.reason,
    start_time: toTimestamp(order.start_at_ms),
    end_time: toTimestamp(order.end_at_ms),
    duration_hours: toHours(order.minutes),
    price_per_hour: fromMinor(order.price_minor),
    amount: fromMinor(order.amount_minor),
    currency: CURRENCY,
    payment_id: order.payment_id,
    used_minutes: order.used_minutes,
    paid: fromMinorOrNull(paid),
    refunded: fromMinorOrNull(paid === null ? null : order.amount_minor - paid),
    created_at: toTimestamp(order.created_at_ms),
    updated_at: toTimestamp(order.updated_at_ms),
    ended_at: toTimestampOrNull(order.ended_at_ms),
    settled_at: toTimestampOrNull(order.settled_at_ms),
  };
};

export const viewReview = (review: Review): Body<'review'> => ({
  id: review.id,
  gpu_id: review.gpu_id,
  order_id: review.order_id,
  reviewer_id: review.reviewer_id,
  rating: review.rating,
  comment: review.comment,
  created_at: toTimestamp(review.created_at_ms),
});
