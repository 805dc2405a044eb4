import { z } from 'zod';

/** Deeper JSON than this is refused: no caller's data needs it, and a walker's stack does. */
export const JSON_DEPTH_MAX = 32;

const isShallow = (value: unknown, depth = 0): boolean => {
  if (value === null || typeof value !== 'object') return true;
  if (depth >= JSON_DEPTH_MAX) return false;
  return Object.values(value).every((inner) => isShallow(inner, depth + 1));
};

/** Any JSON value, at most JSON_DEPTH_MAX deep. Size is bounded by the body limit of the route. */
export const Json = z
  .unknown()
  .refine((value) => value !== undefined, 'is required')
  .refine((value) => isShallow(value), `must not be nested deeper than ${JSON_DEPTH_MAX}`);
