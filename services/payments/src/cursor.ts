import { pageOf } from '@aitbc/chassis';
import { invalidField } from '@aitbc/contracts';

/** A page ends at a place in an order of integers; outside it is opaque. */
export const toCursor = (place: number): string => Buffer.from(`p${place}`).toString('base64url');

export const fromCursor = (cursor: string): number => {
  const text = Buffer.from(cursor, 'base64url').toString();
  const place = Number(/^p(\d{1,16})$/.exec(text)?.[1] ?? Number.NaN);
  if (!Number.isSafeInteger(place)) throw invalidField('query.cursor', 'is not a cursor of this list');
  return place;
};

/** Cuts a page out of one row more than was asked for: see `pageOf`. */
export const toPage = <R, T>(
  rows: readonly R[],
  limit: number,
  place: (row: R) => number,
  view: (row: R) => T | null | Promise<T | null>,
) => pageOf(rows, limit, view, (last) => toCursor(place(last)));
