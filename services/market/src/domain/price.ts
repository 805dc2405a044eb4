/** The published rules of the dynamic price; the contract's PriceFactors repeats them in words. */
const MULTIPLIER_MIN = 0.5;
const MULTIPLIER_MAX = 2;
/** One step moves a price by a tenth at most. */
const STEP_DIVISOR = 10;

interface Market {
  /** Booked share of the offered time of the model in the last 24 hours, 0–1. */
  readonly utilization: number;
  readonly competingOffers: number;
  readonly competingAvailable: number;
}

export interface PriceInput extends Market {
  readonly baseMinor: number;
  readonly previousMinor: number;
}

export interface PriceStep extends PriceInput {
  readonly demandFactor: number;
  readonly competitionFactor: number;
  readonly multiplier: number;
  readonly targetMinor: number;
  readonly stepMinMinor: number;
  readonly stepMaxMinor: number;
  readonly priceMinor: number;
}

const between = (value: number, min: number, max: number): number => Math.min(Math.max(value, min), max);

/** ½ when nothing was booked, 1 at half, 2 when all of it was: meets both bounds, without a jump. */
const demandFactor = (utilization: number): number =>
  utilization <= 0.5 ? 0.5 + utilization : 2 * utilization;

/** ¾ when every competing GPU stands free, 1¼ when none does; the present moment, where demand looks back a day. */
const competitionFactor = ({ competingOffers, competingAvailable }: Market): number =>
  competingOffers === 0 ? 1 : 1.25 - (0.5 * competingAvailable) / competingOffers;

/**
 * One step of a dynamic price, pure: base × demand × competition, within half and twice the base, at most a tenth
 * away from the price before. Never falls when utilisation rises.
 * @param input.previousMinor within the bounds of `baseMinor`: a new base starts over from itself.
 */
export const priceStep = (input: PriceInput): PriceStep => {
  const demand = demandFactor(input.utilization);
  const competition = competitionFactor(input);
  const multiplier = between(demand * competition, MULTIPLIER_MIN, MULTIPLIER_MAX);
  // Stays within half and twice the base: half of an odd base is rounded up, twice is a whole number.
  const targetMinor = Math.round(input.baseMinor * multiplier);
  const step = Math.floor(input.previousMinor / STEP_DIVISOR);
  const stepMinMinor = input.previousMinor - step;
  const stepMaxMinor = input.previousMinor + step;
  return {
    ...input,
    demandFactor: demand,
    competitionFactor: competition,
    multiplier,
    targetMinor,
    stepMinMinor,
    stepMaxMinor,
    priceMinor: between(targetMinor, stepMinMinor, stepMaxMinor),
  };
};
