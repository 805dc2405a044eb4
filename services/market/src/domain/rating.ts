import { MINOR_PER_AITBC } from '@aitbc/contracts';

// What a rating says must have cost something: each account that paid counts once, by what it paid. Weights are integers,
// so that the sums that follow from them are exact: a million is one. A rating is the owner's: an offer can be taken back
// and made anew at no cost.
const UNIT = 1_000_000;
/** What one account can weigh at most: 3 AITBC. Nobody makes or breaks an owner alone. */
const WEIGHT_MAX = 2 * UNIT;
/** Every owner begins with 5 imagined opinions of 3 stars: until others have paid and said more, it stands in the middle. */
export const UNRATED = { rating_weighted: 15 * UNIT, rating_weight: 5 * UNIT, rating: 3, reviewer_count: 0 };
/** Less than this is nobody's opinion: no rating is shown for it. */
const SHOWN_FROM = UNIT / 100;

/** `log2(1 + paid / 1 AITBC)`, 2 at most: so dust weighs nothing, and in many accounts no more than in one. */
export const weightOf = (paidMinor: number): number =>
  Math.min(WEIGHT_MAX, Math.floor(Math.log2(1 + paidMinor / MINOR_PER_AITBC) * UNIT));

/** What one account thinks of an owner and its GPUs. */
export interface Opinion {
  readonly rating: number;
  readonly paid_minor: number;
  readonly weight: number;
}

/** An account's opinion after one more of its bookings was reviewed: its latest word, with all that it paid. */
export const opinionAfter = (before: Opinion | undefined, rating: number, paidMinor: number): Opinion => {
  const paid_minor = (before?.paid_minor ?? 0) + paidMinor;
  return { rating, paid_minor, weight: weightOf(paid_minor) };
};

export interface Rating {
  readonly rating_weighted: number;
  readonly rating_weight: number;
  readonly reviewer_count: number;
}

export interface Standing extends Rating {
  /** The quotient of both sums. */
  readonly rating: number;
}

/** An owner's rating with one opinion in another's place. */
export const ratingAfter = (owner: Rating, before: Opinion | undefined, after: Opinion): Standing => {
  const rating_weighted =
    owner.rating_weighted + after.weight * after.rating - (before?.weight ?? 0) * (before?.rating ?? 0);
  const rating_weight = owner.rating_weight + after.weight - (before?.weight ?? 0);
  const isNew = (before?.weight ?? 0) === 0 && after.weight > 0;
  return {
    rating_weighted,
    rating_weight,
    rating: rating_weighted / rating_weight,
    reviewer_count: owner.reviewer_count + (isNew ? 1 : 0),
  };
};

/** What is shown: nothing while nobody paid enough to say something. */
export const shownRating = ({ rating_weight, rating }: Standing): number | null =>
  rating_weight - UNRATED.rating_weight < SHOWN_FROM ? null : Math.round(rating * 100) / 100;

/** How much stands behind a rating, in opinions of 1 AITBC. */
export const evidenceOf = ({ rating_weight }: Rating): number =>
  Math.round((rating_weight - UNRATED.rating_weight) / (UNIT / 100)) / 100;
