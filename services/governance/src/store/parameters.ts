import { builder, type Reader, type Trx } from '@aitbc/chassis';
import { inBounds, PARAMETERS, type ParameterName } from '@aitbc/contracts';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

export type ParameterChangeRow = Tables['parameter_change'];

/** What the owner obeys: as it, not a value that is outside the bounds of this release. */
export const valueInForce = (name: ParameterName, change: ParameterChangeRow | undefined): unknown =>
  (change === undefined ? undefined : inBounds(name, JSON.parse(change.value))) ?? PARAMETERS[name].default;

export const newestChange = async (
  reader: Reader,
  name: ParameterName,
): Promise<ParameterChangeRow | undefined> => (await listChanges(reader, name, undefined, 1))[0];

export const currentValue = async (reader: Reader, name: ParameterName): Promise<unknown> =>
  valueInForce(name, await newestChange(reader, name));

export const listChanges = async (
  reader: Reader,
  name: ParameterName,
  before: number | undefined,
  limit: number,
): Promise<ParameterChangeRow[]> => {
  let query = db
    .selectFrom('parameter_change')
    .selectAll()
    .where('name', '=', name)
    .orderBy('version', 'desc')
    .limit(limit);
  if (before !== undefined) query = query.where('version', '<', before);
  return await reader.all(query);
};

/** The change in force of every parameter that was ever changed. */
export const currentChanges = async (reader: Reader): Promise<Map<string, ParameterChangeRow>> =>
  new Map(
    (
      await reader.all(
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
    ).map((row) => [row.name, row]),
  );

/** @returns the version the value got. */
export const recordChange = async (
  trx: Trx,
  change: Omit<ParameterChangeRow, 'value' | 'version' | 'name'> & { name: ParameterName; value: unknown },
): Promise<number> => {
  const version = ((await newestChange(trx, change.name))?.version ?? 0) + 1;
  await trx.run(
    db.insertInto('parameter_change').values({ ...change, version, value: JSON.stringify(change.value) }),
  );
  return version;
};

export const recordText = async (trx: Trx, row: Tables['recorded_text']): Promise<void> => {
  await trx.run(db.insertInto('recorded_text').values(row));
};
