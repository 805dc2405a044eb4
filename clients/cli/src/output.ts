import Table from 'cli-table3';
import picocolors from 'picocolors';

export interface Streams {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
}

/** What a terminal would obey: text of others must not move its cursor. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are the point
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;
const plain = (text: string): string => text.replace(CONTROL, ' ');
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same without the two that only lay out a text
const CONTROL_IN_TEXT = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
const escaped = (json: string): string =>
  json.replace(/[\u007f-\u009f]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

const NO_LINES = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

export type Cell = string | number | boolean | null | undefined;
const textOf = (cell: Cell): string => (cell === null || cell === undefined ? '–' : plain(String(cell)));

const ISO_TIME = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/;
/** In a column seconds do: `2026-11-29 09:30:00`, of UTC. */
const inColumn = (cell: Cell): string => textOf(cell).replace(ISO_TIME, '$1 $2');

const GAP = 2;
/** The name of a thing and one word about it are shown, however narrow the terminal. */
const COLUMNS_MIN = 2;
/** How many columns fit. */
const fitting = (rows: readonly (readonly string[])[], width: number): number => {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  let sum = -GAP;
  const tooFar = widths.findIndex((own) => {
    sum += own + GAP;
    return sum > width;
  });
  return tooFar === -1 ? widths.length : Math.max(tooFar, COLUMNS_MIN);
};

/** Results go to stdout, all that is said about them to stderr. */
export const createOutput = (
  streams: Streams,
  options: { readonly json: boolean; readonly colors: boolean },
) => {
  const colors = picocolors.createColors(options.colors);
  const line = (text = ''): void => void streams.stdout.write(`${text}\n`);
  const grid = (rows: string[][], head?: string[]): void => {
    const table = new Table({
      chars: NO_LINES,
      style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
      ...(head === undefined ? {} : { head: head.map((name) => colors.bold(name)) }),
    });
    table.push(...rows);
    for (const row of table.toString().split('\n')) line(row.trimEnd());
  };
  return {
    isJson: options.json,
    /** Is somebody looking? Then there may be a spinner, and questions. */
    isInteractive: streams.stderr.isTTY === true && streams.stdin.isTTY === true && !options.json,
    colors,
    line,
    /** A piece of what somebody else wrote; in a file it stays as it is. */
    text: (piece: string): void =>
      void streams.stdout.write(streams.stdout.isTTY ? piece.replace(CONTROL_IN_TEXT, ' ') : piece),
    /** One JSON document, or with `--json` of what goes on, one line of it. */
    json: (value: unknown): void => line(escaped(JSON.stringify(value, null, 2))),
    jsonLine: (value: unknown): void => line(escaped(JSON.stringify(value))),
    note: (text: string): void => void streams.stderr.write(`${text}\n`),
    /** @param head the most wanted first: on a terminal that is too narrow the last ones are left out */
    table: (head: string[], rows: readonly (readonly Cell[])[], empty: string): void => {
      if (rows.length === 0) return void streams.stderr.write(`${empty}\n`);
      const texts = rows.map((row) => row.map(inColumn));
      const fit = streams.stdout.isTTY
        ? fitting([head, ...texts], streams.stdout.columns ?? 80)
        : head.length;
      grid(
        texts.map((row) => row.slice(0, fit)),
        head.slice(0, fit),
      );
      if (fit < head.length)
        streams.stderr.write(`${colors.dim(`No room for: ${head.slice(fit).join(', ')}`)}\n`);
    },
    record: (fields: Record<string, Cell>): void =>
      grid(Object.entries(fields).map(([name, value]) => [colors.dim(name), textOf(value)])),
    status: (word: string): string => {
      if (['completed', 'active', 'executed', 'released', 'confirmed', 'ok'].includes(word))
        return colors.green(word);
      if (['failed', 'cancelled', 'expired', 'rejected', 'inactive'].includes(word)) return colors.red(word);
      return colors.yellow(word);
    },
  };
};
export type Output = ReturnType<typeof createOutput>;
