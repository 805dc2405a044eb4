import { z } from 'zod';

/** 1 AITBC in minor units: the ledger counts integers, the wire shows at most 8 decimals. */
export const MINOR_PER_AITBC = 100_000_000;
/** The largest single amount on the wire. 10^7 × 10^8 = 10^15 stays below 2^53, so minor units are exact numbers. */
export const MAX_AMOUNT = 10_000_000;
export const CURRENCY = 'AITBC';

/**
 * Whole and fraction apart: one product of both would be off by one above 2^25 AITBC; so it is exact up to 2^26.
 * @param amount AITBC with at most 8 decimals. @returns minor units, a safe integer.
 */
export const toMinor = (amount: number): number => {
  const whole = Math.trunc(amount);
  return whole * MINOR_PER_AITBC + Math.round((amount - whole) * MINOR_PER_AITBC);
};

/** @param minor integer minor units. @returns AITBC, the wire form. */
export const fromMinor = (minor: number): number => minor / MINOR_PER_AITBC;

/** The same for people to read: JavaScript writes 79 minor units as 7.9e-7. */
export const amountText = (minor: number): string =>
  fromMinor(minor)
    .toFixed(8)
    .replace(/\.?0+$/, '');

export const fromMinorOrNull = (minor: number | null): number | null =>
  minor === null ? null : fromMinor(minor);

const hasAtMostEightDecimals = (amount: number): boolean => fromMinor(toMinor(amount)) === amount;

/** An amount a caller sends: above zero, at most MAX_AMOUNT, at most 8 decimals. */
export const Amount = z
  .number()
  .gt(0)
  .lte(MAX_AMOUNT)
  .refine(hasAtMostEightDecimals, 'must have at most 8 decimals')
  .meta({ description: 'AITBC, at most 8 decimals', example: 1.25 });

/** A price, which may be zero (a miner that works for nothing). */
export const Price = z
  .number()
  .gte(0)
  .lte(MAX_AMOUNT)
  .refine(hasAtMostEightDecimals, 'must have at most 8 decimals')
  .meta({ description: 'AITBC, at most 8 decimals', example: 0.5 });

/** An amount in an answer: may be zero, or below zero for the mint. */
export const AmountOut = z.number().meta({ description: 'AITBC', example: 1.25 });

/** Integer minor units inside messages. */
export const Minor = z.number().int().nonnegative();
