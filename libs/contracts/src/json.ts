import { z } from 'zod';

/** Deeper JSON than this is refused: no caller's data needs it, and a walker's stack does. */
export const JSON_DEPTH_MAX = 32;

const isPlain = (value: unknown, depth = 0): boolean => {
  if (value === null || typeof value !== 'object') return true;
  if (depth >= JSON_DEPTH_MAX || Object.hasOwn(value, '__proto__')) return false;
  return Object.values(value).every((inner) => isPlain(inner, depth + 1));
};

/** An object of JSON, of which nothing else is known. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Any JSON value, at most JSON_DEPTH_MAX deep, no field `__proto__`. Size is bounded by the route's body limit. */
export const Json = z
  .unknown()
  .refine((value) => value !== undefined, 'is required')
  .refine(
    (value) => isPlain(value),
    `must not be nested deeper than ${JSON_DEPTH_MAX}, nor hold a field __proto__`,
  );
