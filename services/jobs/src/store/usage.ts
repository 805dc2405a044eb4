import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { UsageDimension } from '@aitbc/contracts';
import { type Expression, type SqlBool, sql } from 'kysely';
import type { Tables, UsageDay } from '../tables.ts';

const db = builder<Tables>();

const COUNTS = ['completed', 'failed', 'cancelled', 'expired', 'spend_minor'] as const;
const KEY = ['account_id', 'day', 'job_type', 'model', 'key_id', 'place'] as const;

const add = hot((p: Params<UsageDay & object>) =>
  db
    .insertInto('usage_day')
    .values({
      account_id: p('account_id'),
      day: p('day'),
      job_type: p('job_type'),
      model: p('model'),
      key_id: p('key_id'),
      place: p('place'),
      completed: p('completed'),
      failed: p('failed'),
      cancelled: p('cancelled'),
      expired: p('expired'),
      spend_minor: p('spend_minor'),
    })
    .onConflict((conflict) =>
      conflict.columns([...KEY]).doUpdateSet((eb) => ({
        completed: eb('usage_day.completed', '+', eb.ref('excluded.completed')),
        failed: eb('usage_day.failed', '+', eb.ref('excluded.failed')),
        cancelled: eb('usage_day.cancelled', '+', eb.ref('excluded.cancelled')),
        expired: eb('usage_day.expired', '+', eb.ref('excluded.expired')),
        spend_minor: eb('usage_day.spend_minor', '+', eb.ref('excluded.spend_minor')),
      })),
    ),
);

/** Counts what ended, for `trx.gather`: many jobs that a commit ends are mostly of one row. */
export const countUsage = async (trx: Trx, ended: readonly UsageDay[]): Promise<void> => {
  const rows = new Map<string, UsageDay>();
  for (const one of ended) {
    const key = JSON.stringify(KEY.map((column) => one[column]));
    const row = rows.get(key);
    if (row === undefined) rows.set(key, { ...one });
    else for (const count of COUNTS) row[count] += one[count];
  }
  for (const row of rows.values()) await trx.run(add, row);
};

/** The days of an account that are looked at: both ends count. */
export interface Range {
  readonly accountId: string;
  readonly from: number;
  readonly to: number;
}
const COLUMNS = { day: 'day', job_type: 'job_type', model: 'model', key: 'key_id' } as const;

const inRange = ({ accountId, from, to }: Range) =>
  db
    .selectFrom('usage_day')
    .select((eb) => COUNTS.map((count) => sql<number>`coalesce(sum(${eb.ref(count)}), 0)`.as(count)))
    .where('account_id', '=', accountId)
    .where('day', '>=', from)
    .where('day', '<=', to);

export type Counts = Pick<UsageDay, (typeof COUNTS)[number]>;
// PostgreSQL sums into another type, which comes as a text.
const asNumbers = <R extends Counts>(row: R): R => ({
  ...row,
  ...Object.fromEntries(COUNTS.map((count) => [count, Number(row[count])])),
});

export type Place = readonly (string | number)[];
export type Group = Counts & Partial<Pick<UsageDay, 'day' | 'job_type' | 'model' | 'key_id'>>;

/** Where a group stands in its list. */
export const placeOf = (group: Group, dimensions: readonly UsageDimension[]): Place =>
  dimensions.map((dimension) => group[COLUMNS[dimension]] as string | number);

/** Sums by these dimensions, the newest day first, then in the order of the names. @param after the place to go on from */
export const sumBy = async (
  reader: Reader,
  range: Range,
  dimensions: readonly UsageDimension[],
  page: { after: Place | undefined; limit: number },
): Promise<Group[]> => {
  const columns = dimensions.map((dimension) => COLUMNS[dimension]);
  let query = inRange(range).select(columns).groupBy(columns).limit(page.limit);
  for (const column of columns) query = query.orderBy(column, column === 'day' ? 'desc' : 'asc');
  const { after } = page;
  if (after !== undefined)
    query = query.where((eb) =>
      eb.or(
        columns.map(
          (column, at): Expression<SqlBool> =>
            eb.and([
              ...columns.slice(0, at).map((same, i) => eb(same, '=', after[i] as never)),
              eb(column, column === 'day' ? '<' : '>', after[at] as never),
            ]),
        ),
      ),
    );
  return (await reader.all(query)).map(asNumbers);
};

export const sumOf = async (reader: Reader, range: Range): Promise<Counts> =>
  asNumbers((await reader.get(inRange(range))) as Counts);
