import type { Trx } from '@aitbc/chassis';
import { type BodyOf, type marketRoutes, newId, notFound, Problem } from '@aitbc/contracts';
import { opinionAfter, ratingAfter } from '../domain/rating.ts';
import { findGpu, updateGpu } from '../store/gpu.ts';
import { bookingsToReview, findOpinion, findReviewOf, insertReview, saveOpinion } from '../store/order.ts';
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
  // One that is not settled yet counts when it is: then it is known what was paid.
  if (booking.status === 'settled') count(trx, made, booking.pay_minor ?? 0, clock);
  return made;
};

/** Lets a review count by what its booking paid. One that paid nothing counts nothing. */
const count = (trx: Trx, review: Review, paidMinor: number, clock: Clock): void => {
  const gpu = findGpu(trx, review.gpu_id);
  if (gpu === undefined || paidMinor === 0 || gpu.owner_id === review.reviewer_id) return;
  const before = findOpinion(trx, review.gpu_id, review.reviewer_id);
  const after = opinionAfter(before, review.rating, paidMinor);
  saveOpinion(trx, { gpu_id: review.gpu_id, reviewer_id: review.reviewer_id, ...after });
  updateGpu(trx, gpu, ratingAfter(gpu, before, after), clock);
};

/** A booking was paid for: the review that was written of it meanwhile counts from now on. */
export const countReview = (trx: Trx, orderId: string, paidMinor: number, clock: Clock): void => {
  const review = findReviewOf(trx, orderId);
  if (review !== undefined) count(trx, review, paidMinor, clock);
};
