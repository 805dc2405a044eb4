import { builder, type Reader, type Trx } from '@aitbc/chassis';
import { inBounds, PARAMETERS, type ParameterName } from '@aitbc/contracts';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

export type ParameterChangeRow = Tables['parameter_change'];

/** What the owner obeys: as it, not a value that is outside the bounds of this release. */
export const valueInForce = (name: ParameterName, change: ParameterChangeRow | undefined): unknown =>
  (change === undefined ? undefined : inBounds(name, JSON.parse(change.value))) ?? PARAMETERS[name].default;

export const newestChange = (reader: Reader, name: ParameterName): ParameterChangeRow | undefined =>
  listChanges(reader, name, undefined, 1)[0];

export const currentValue = (reader: Reader, name: ParameterName): unknown =>
  valueInForce(name, newestChange(reader, name));

export const listChanges = (
  reader: Reader,
  name: ParameterName,
  before: number | undefined,
  limit: number,
): ParameterChangeRow[] => {
  let query = db
    .selectFrom('parameter_change')
    .selectAll()
    .where('name', '=', name)
    .orderBy('version', 'desc')
    .limit(limit);
  if (before !== undefined) query = query.where('version', '<', before);
  return reader.all(query);
};

/** The change in force of every parameter that was ever changed. */
export const currentChanges = (reader: Reader): Map<string, ParameterChangeRow> =>
  new Map(
    reader
      .all(
        db
          .selectFrom('parameter_change as change')
          .selectAll('change')
          .where((eb) =>
            eb(
              'change.version',
              '=',
              eb
                .selectFrom('parameter_change as newer')
                .select((inner) => inner.fn.max('newer.version').as('version'))
                .whereRef('newer.name', '=', 'change.name'),
            ),
          ),
      )
      .map((row) => [row.name, row]),
  );

/** @returns the version the value got. */
export const recordChange = (
  trx: Trx,
  change: Omit<ParameterChangeRow, 'value' | 'version' | 'name'> & { name: ParameterName; value: unknown },
): number => {
  const version = (newestChange(trx, change.name)?.version ?? 0) + 1;
  trx.run(
    db.insertInto('parameter_change').values({ ...change, version, value: JSON.stringify(change.value) }),
  );
  return version;
};

export const recordText = (trx: Trx, row: Tables['recorded_text']): void => {
  trx.run(db.insertInto('recorded_text').values(row));
};
