import { pageOf } from '@aitbc/chassis';
import { invalidField } from '@aitbc/contracts';

/** @throws Problem VALIDATION_ERROR */
export const readCursor = (cursor: string | undefined): string | undefined => {
  if (cursor === undefined) return undefined;
  const text = Buffer.from(cursor, 'base64url').toString();
  if (!/^[\x21-\x7e]{1,200}$/.test(text)) throw invalidField('query.cursor', 'is not a cursor of this list');
  return text;
};
export const cursorAfter = (id: string): string => Buffer.from(id).toString('base64url');

/** A page of rows that were asked for with one more than the page holds. */
export const pageById = <R extends { id: string }, T>(
  found: R[],
  limit: number,
  view: (row: R) => T | Promise<T>,
) => pageOf(found, limit, view, (last) => cursorAfter(last.id));
