import { z } from 'zod';

// Plain decimal digits, and nothing else that some reader takes for a number: no sign, blank, exponent or `0x`.
const DIGITS = /^\d{1,20}$/;
const DECIMAL = /^\d{1,20}(\.\d{1,20})?$/;

const read = (pattern: RegExp) => (value: unknown) =>
  typeof value === 'string' && pattern.test(value) ? Number(value) : value;

/** A whole number in a path or query. */
export const WholeNumber = (min: number, max: number) =>
  z.preprocess(
    read(DIGITS),
    z.number(`must be a whole number from ${min} to ${max} in plain digits`).int().min(min).max(max),
  );

/** A number with decimals in a query, as `schema` wants it. */
export const DecimalNumber = <T extends z.ZodType<number, number>>(schema: T) =>
  z.preprocess(read(DECIMAL), z.number('must be a number in plain digits').pipe(schema));
