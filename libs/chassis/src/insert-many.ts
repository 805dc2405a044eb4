import { builder, type Hot, hot, type Params } from './sql.ts';
import type { Trx } from './store/index.ts';

/** Rows a statement, at most: far below what either engine binds, and seven statements for any number of rows. */
const ROWS_MAX = 64;

/**
 * Writes rows of a table, as many with one statement as there are: for `trx.gather`. Each power of two is compiled once, so
 * a hundred rows are three statements.
 * @param columns all that a row has
 */
export const insertMany = <Row extends object>(
  table: string,
  columns: readonly (keyof Row & string)[],
): ((trx: Trx, rows: readonly Row[]) => Promise<void>) => {
  type Values = Record<string, unknown>;
  const statements = new Map<number, Hot<Values, unknown>>();
  const place = (at: number, column: string): string => `${at}.${column}`;
  const compile = (count: number): Hot<Values, unknown> =>
    hot((p: Params<Values>) =>
      builder<Record<string, Values>>()
        .insertInto(table)
        .values(
          Array.from({ length: count }, (_, at) =>
            Object.fromEntries(columns.map((column) => [column, p(place(at, column))])),
          ),
        ),
    );
  const statementFor = (count: number): Hot<Values, unknown> => {
    const made = statements.get(count) ?? compile(count);
    statements.set(count, made);
    return made;
  };
  return async (trx, rows) => {
    for (let from = 0; from < rows.length; ) {
      const count = Math.min(ROWS_MAX, 2 ** Math.floor(Math.log2(rows.length - from)));
      const values: Values = {};
      for (let at = 0; at < count; at += 1)
        for (const column of columns) values[place(at, column)] = rows[from + at]?.[column];
      await trx.run(statementFor(count), values);
      from += count;
    }
  };
};
