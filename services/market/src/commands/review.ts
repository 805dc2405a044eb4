import type { Trx } from '@aitbc/chassis';
import { type BodyOf, type marketRoutes, newId, notFound, Problem } from '@aitbc/contracts';
import { findGpu, updateGpu } from '../store/gpu.ts';
import { bookingsToReview, insertReview } from '../store/order.ts';
import type { Clock } from '../store/stats.ts';
import type { Review } from '../tables.ts';

/** @throws Problem REVIEW_NOT_ALLOWED, ALREADY_REVIEWED */
export const review = (
  trx: Trx,
  accountId: string,
  gpuId: string,
  body: BodyOf<typeof marketRoutes.review>,
  clock: Clock,
): Review => {
  const gpu = findGpu(trx, gpuId);
  if (gpu === undefined) throw notFound('GPU');
  if (gpu.owner_id === accountId)
    throw new Problem('REVIEW_NOT_ALLOWED', 'Owners do not review their own GPUs.');
  const booking = bookingsToReview(trx, gpuId, accountId, body.order_id);
  if (booking === undefined)
    throw new Problem('REVIEW_NOT_ALLOWED', 'Only a booking of this GPU that ran and ended can be reviewed.');
  if (booking.review_id !== null)
    throw new Problem('ALREADY_REVIEWED', 'That booking has its review already.');
  const made: Review = {
    id: newId(),
    gpu_id: gpuId,
    order_id: booking.id,
    reviewer_id: accountId,
    rating: body.rating,
    comment: body.comment ?? null,
    created_at_ms: clock.now,
  };
  insertReview(trx, made);
  const sum = gpu.rating_sum + body.rating;
  const count = gpu.rating_count + 1;
  updateGpu(trx, gpu, { rating_sum: sum, rating_count: count, rating: sum / count }, clock);
  return made;
};
