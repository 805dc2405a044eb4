import { sql } from 'kysely';
import { builder, hot, type Params } from './sql.ts';
import { type Kind, rowsOf } from './store/dialect.ts';
import type { Trx } from './store/index.ts';

/**
 * Deletes rows of a table that still are what they were: one statement, compiled once, for any number of them. A row that changed in one
 * of `columns`, or is gone, is left alone, so two processes may delete the same rows.
 * @param columns by which a row is told from others, with what they hold
 */
export const deleteMany = <Row extends object>(
  table: string,
  columns: Readonly<Record<keyof Row & string, Kind>>,
): ((trx: Trx, rows: readonly Row[]) => Promise<void>) => {
  const names = Object.keys(columns) as (keyof Row & string)[];
  const list = () => sql.join(names.map((name) => sql.ref(name)));
  const statement = hot((p: Params<{ rows: string }>) =>
    builder<Record<string, Record<string, unknown>>>()
      .deleteFrom(table)
      .where(sql<boolean>`(${list()}) IN (SELECT ${list()} FROM ${rowsOf(p('rows'), columns)} AS given)`),
  );
  return async (trx, rows) => {
    if (rows.length === 0) return;
    await trx.run(statement, { rows: JSON.stringify(rows.map((row) => names.map((name) => row[name]))) });
  };
};
