import { builder, type Reader, type Trx } from '@aitbc/chassis';
import type { ParameterName } from '@aitbc/contracts';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

export type ParameterChangeRow = Tables['parameter_change'];

/** The change in force of every parameter that a vote ever changed. */
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
  change: { name: ParameterName; value: unknown; proposal_id: string; changed_at_ms: number },
): number => {
  const newest = trx.get(
    db
      .selectFrom('parameter_change')
      .select((eb) => eb.fn.max('version').as('version'))
      .where('name', '=', change.name),
  );
  const version = Number(newest?.version ?? 0) + 1;
  trx.run(
    db.insertInto('parameter_change').values({ ...change, version, value: JSON.stringify(change.value) }),
  );
  return version;
};

export const recordText = (trx: Trx, row: Tables['recorded_text']): void => {
  trx.run(db.insertInto('recorded_text').values(row));
};
