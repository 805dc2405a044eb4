// How a row is written down on its way from one engine to the other: a line of PostgreSQL's COPY. Both engines' rows come
// as the same bytes, so their hashes can be compared; PostgreSQL makes and takes them itself.

export type Kind = 'integer' | 'real' | 'text' | 'bytes';
export interface Column {
  readonly name: string;
  readonly kind: Kind;
}
export interface Table {
  readonly name: string;
  /** In the order of their names. */
  readonly columns: readonly Column[];
  readonly key: readonly string[];
}
export type Value = number | string | Buffer | null;

/** Whole lines. */
export interface Lines {
  readonly rows: number;
  /** What is hashed: fractions by their bits, since engines round the digits that they print in their own ways. */
  readonly bytes: Buffer;
  /** What COPY reads, where it is another: fractions in digits. */
  readonly digits?: Buffer;
}

const ESCAPED = /[\b\f\n\r\t\v\\]/;
const ESCAPES: Readonly<Record<string, string>> = {
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
};
const MEANINGS = Object.fromEntries(Object.entries(ESCAPES).map(([value, text]) => [text[1], value]));

const escaped = (text: string): string =>
  ESCAPED.test(text) ? text.replace(/[\b\f\n\r\t\v\\]/g, (character) => ESCAPES[character] as string) : text;
const unescaped = (text: string): string =>
  text.includes('\\')
    ? text.replace(/\\(.)/gs, (_, character) => MEANINGS[character as string] ?? character)
    : text;

const bits = Buffer.alloc(8);
const bitsOf = (value: number): string => {
  // SQLite knows one zero alone.
  bits.writeDoubleBE(value === 0 ? 0 : value);
  return `\\\\x${bits.toString('hex')}`;
};
const ofBits = (text: string): number => {
  bits.write(text.slice(3), 'hex');
  return bits.readDoubleBE();
};

/** @param reals how fractions are written */
export const lineOf = (
  values: readonly Value[],
  columns: readonly Column[],
  reals: 'bits' | 'digits',
): string => {
  let line = '';
  for (let index = 0; index < columns.length; index += 1) {
    const value = values[index] as Value;
    if (index > 0) line += '\t';
    if (value === null) line += '\\N';
    else if (typeof value === 'string') line += escaped(value);
    else if (typeof value !== 'number') line += `\\\\x${value.toString('hex')}`;
    else if ((columns[index] as Column).kind === 'real' && reals === 'bits') line += bitsOf(value);
    else line += value;
  }
  return `${line}\n`;
};

const readValue = (text: string, kind: Kind): Value => {
  if (text === '\\N') return null;
  if (kind === 'integer') return Number(text);
  if (kind === 'real') return ofBits(text);
  return kind === 'bytes' ? Buffer.from(text.slice(3), 'hex') : unescaped(text);
};
/** The other way, with fractions by their bits. */
export const valuesOf = (line: string, columns: readonly Column[]): Value[] =>
  line.split('\t').map((text, index) => readValue(text, (columns[index] as Column).kind));

export const hasReals = (table: Table): boolean => table.columns.some(({ kind }) => kind === 'real');
