// RFC 4180, for people who open it in a spreadsheet.

/** Begins a formula in some spreadsheet, in ASCII and in the full-width forms that East Asian ones read too. */
const FORMULA = /[=+\-@＝＋－＠]/u;
/** The beginning of a cell: of the text, or after what some spreadsheet takes for the end of the cell before. */
const CELL_BEGINS = new RegExp(`(^|[,;|\\t\\r\\n"])(\\s*)(?=${FORMULA.source})`, 'gu');

/**
 * A text of a stranger. Where a spreadsheet would take it for a formula an apostrophe stands before, as OWASP has it:
 * also within it, for one that parts cells by another character takes our quotes for letters.
 */
const harmless = (text: string): string => text.replace(CELL_BEGINS, "$1$2'");

const cell = (value: string | number | null): string => {
  if (value === null) return '';
  // 1e-8 and the like are numbers as well, to a spreadsheet; a person reads decimals.
  if (typeof value === 'number') return value.toFixed(8).replace(/\.?0+$/, '');
  return `"${harmless(value).replaceAll('"', '""')}"`;
};

/** One line for each row after the headings. Lines end in CRLF. */
export const toCsv = <C extends string>(
  columns: readonly C[],
  rows: readonly Record<C, string | number | null>[],
): string =>
  [columns.map((column) => cell(column)), ...rows.map((row) => columns.map((column) => cell(row[column])))]
    .map((cells) => `${cells.join(',')}\r\n`)
    .join('');
