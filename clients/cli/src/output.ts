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

/** For a column: seconds do. `2026-11-29 09:30:00`, of UTC as all times here. */
export const shortTime = (time: string | null): string | null =>
  time === null ? null : time.slice(0, 19).replace('T', ' ');

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
    table: (head: string[], rows: readonly (readonly Cell[])[], empty: string): void => {
      if (rows.length === 0) streams.stderr.write(`${empty}\n`);
      else
        grid(
          rows.map((row) => row.map(textOf)),
          head,
        );
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
