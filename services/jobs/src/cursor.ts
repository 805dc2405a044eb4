import { Id, invalidField } from '@aitbc/contracts';

/** Lists go on below an id; base64url says: do not build one. */
export const writeCursor = (id: string): string => Buffer.from(id).toString('base64url');

/** @throws Problem VALIDATION_ERROR */
export const readCursor = (cursor: string | undefined): string | undefined => {
  if (cursor === undefined) return undefined;
  const id = Id.safeParse(Buffer.from(cursor, 'base64url').toString());
  if (!id.success) throw invalidField('query.cursor', 'is not a next_cursor of this list');
  return id.data;
};
