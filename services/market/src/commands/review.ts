import type { Trx } from '@aitbc/chassis';
import { type BodyOf, type marketRoutes, newId, notFound, Problem } from '@aitbc/contracts';
import { opinionAfter, ratingAfter } from '../domain/rating.ts';
import { findGpu, findOwnerRating, rateOwner } from '../store/gpu.ts';
import { bookingsToReview, findOpinion, findReviewOf, insertReview, saveOpinion } from '../store/order.ts';
import type { Clock } from '../store/stats.ts';
import type { Order, Review } from '../tables.ts';

/** @throws Problem REVIEW_NOT_ALLOWED, ALREADY_REVIEWED */
export const review = async (
  trx: Trx,
  accountId: string,
  gpuId: string,
  body: BodyOf<typeof marketRoutes.review>,
  clock: Clock,
): Promise<Review> => {
  const gpu = await findGpu(trx, gpuId);
  // Also one that was withdrawn meanwhile: else whoever expects a bad word takes the offer back.
  const booking = await bookingsToReview(trx, gpuId, accountId, body.order_id);
  if ((gpu ?? booking)?.owner_id === accountId)
    throw new Problem('REVIEW_NOT_ALLOWED', 'Owners do not review their own GPUs.');
  if (booking === undefined) {
    if (gpu === undefined) throw notFound('GPU');
    throw new Problem('REVIEW_NOT_ALLOWED', 'Only a booking of this GPU that ran and ended can be reviewed.');
  }
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
  await insertReview(trx, made);
  // One that is not settled yet counts when it is: then it is known what was paid.
  if (booking.status === 'settled') await count(trx, made, booking.owner_id, booking.pay_minor ?? 0);
  return made;
};

/** Lets a review count by what its booking paid. One that paid nothing counts nothing. */
const count = async (
  trx: Trx,
  { reviewer_id, rating }: Review,
  owner_id: string,
  paidMinor: number,
): Promise<void> => {
  if (paidMinor === 0 || owner_id === reviewer_id) return;
  const before = await findOpinion(trx, owner_id, reviewer_id);
  const after = opinionAfter(before, rating, paidMinor);
  await saveOpinion(trx, { owner_id, reviewer_id, ...after });
  if (before?.weight === after.weight && before.rating === after.rating) return;
  await rateOwner(trx, owner_id, ratingAfter(await findOwnerRating(trx, owner_id), before, after));
};

/** A booking was paid for: the review that was written of it meanwhile counts from now on. */
export const countReview = async (
  trx: Trx,
  order: Pick<Order, 'id' | 'owner_id'>,
  paidMinor: number,
): Promise<void> => {
  const review = await findReviewOf(trx, order.id);
  if (review !== undefined) await count(trx, review, order.owner_id, paidMinor);
};
