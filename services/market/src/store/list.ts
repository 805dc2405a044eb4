import { builder, equalsIgnoringCase, type Reader, unindexed } from '@aitbc/chassis';
import { cardKey, invalidField, type marketRoutes, type QueryOf, toMinor } from '@aitbc/contracts';
import { sql } from 'kysely';
import { z } from 'zod';
import type { Tables } from '../tables.ts';
import { findOffer, type Offer } from './gpu.ts';

const db = builder<Tables>();

export type ListFilter = QueryOf<typeof marketRoutes.list>;
type Sort = NonNullable<ListFilter['sort']> | 'newest';

/** A place in a list: the sort it belongs to, the sorted value (none for `newest`) and the id that breaks ties. */
const Cursor = z.tuple([z.enum(['newest', 'price', 'rating', 'memory']), z.number(), z.string().max(36)]);
type Cursor = z.infer<typeof Cursor>;

const COLUMNS = { price: 'price_minor', rating: 'rating', memory: 'memory_gb' } as const;

// A list without a cursor begins before everything, so that each page is the same search of one index.
const BEGINNINGS: Record<Sort, Cursor> = {
  newest: ['newest', 0, 'g'],
  price: ['price', 0, ''],
  rating: ['rating', 6, ''],
  memory: ['memory', 1e9, ''],
};

const decode = (sort: Sort, cursor: string | undefined): Cursor => {
  if (cursor === undefined) return BEGINNINGS[sort];
  const parsed = Cursor.safeParse(readJson(cursor));
  if (!parsed.success || parsed.data[0] !== sort)
    throw invalidField('query.cursor', 'must be the next_cursor of a list with the same sort');
  return parsed.data;
};

const readJson = (cursor: string): unknown => {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    return undefined;
  }
};

const encode = (sort: Sort, last: Offer): string => {
  const value = sort === 'newest' ? 0 : last[COLUMNS[sort]];
  return Buffer.from(JSON.stringify([sort, value, last.id] satisfies Cursor)).toString('base64url');
};

/**
 * The ids of one page. Walks the index of the sort (under its model, when one is named) from the cursor; every other
 * filter is checked against the columns in that index. Unindexed, they keep the planner on it: a range over another
 * column would have it gather and sort all that match.
 */
export const pageOfIds = (filter: ListFilter) => {
  const sort = filter.sort ?? 'newest';
  const [, value, id] = decode(sort, filter.cursor);
  let query = db
    .selectFrom('gpu')
    .select('id')
    .where('withdrawn_at_ms', 'is', null)
    .limit(filter.limit + 1);
  // What one owner offers is few: found by its index, and sorted then.
  const indexed = <T>(name: string) =>
    filter.owner_id === undefined ? sql.ref<T>(name) : unindexed<T>(name);
  if (filter.owner_id !== undefined) query = query.where('owner_id', '=', filter.owner_id);
  if (filter.model !== undefined)
    query = query.where(indexed<string>('model_key'), '=', cardKey(filter.model));
  if (filter.region !== undefined) query = query.where(equalsIgnoringCase('region', filter.region));
  if (filter.available !== undefined)
    query = query.where('is_available', '=', filter.available === 'true' ? 1 : 0);

  const column = (name: 'price_minor' | 'memory_gb') =>
    sort !== 'newest' && COLUMNS[sort] === name ? indexed<number>(name) : unindexed<number>(name);
  if (filter.price_min !== undefined)
    query = query.where(column('price_minor'), '>=', toMinor(filter.price_min));
  if (filter.price_max !== undefined)
    query = query.where(column('price_minor'), '<=', toMinor(filter.price_max));
  if (filter.memory_min !== undefined) query = query.where(column('memory_gb'), '>=', filter.memory_min);

  const ids = indexed<string>('id');
  if (sort === 'newest') return query.where(ids, '<', id).orderBy(ids, 'desc');
  const [direction, beyond] = sort === 'price' ? (['asc', '>'] as const) : (['desc', '<'] as const);
  const sorted = indexed<number>(COLUMNS[sort]);
  return query
    .where((eb) => eb(eb.tuple(sorted, ids), beyond, eb.tuple(value, id)))
    .orderBy(sorted, direction)
    .orderBy(ids, direction);
};

/** The offers of one page and the first of the next. @throws Problem VALIDATION_ERROR for a cursor that no such list gave. */
export const listOffers = async (
  reader: Reader,
  filter: ListFilter,
): Promise<{ offers: Offer[]; cursorOf: (last: Offer) => string }> => {
  const ids = (await reader.all(pageOfIds(filter))).map(({ id }) => id);
  // Nothing is awaited in between, so the rows are those of the ids.
  const offers: Offer[] = [];
  for (const id of ids) offers.push((await findOffer(reader, id)) as Offer);
  return { offers, cursorOf: (last) => encode(filter.sort ?? 'newest', last) };
};

/** The cursor of lists by id alone. */
export const idAfter = (cursor: string | undefined): string => {
  if (cursor === undefined) return BEGINNINGS.newest[2];
  return decode('newest', cursor)[2];
};
export const idCursor = (id: string): string =>
  Buffer.from(JSON.stringify(['newest', 0, id] satisfies Cursor)).toString('base64url');
