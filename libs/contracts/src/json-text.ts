/** A place in a JSON text that would not mean the same afterwards. */
export interface JsonIssue {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** So many are named, as with every other 422. */
const ISSUES_MAX = 20;
/** The exact decimal of any double has fewer characters; longer ones cost time and say nothing more. */
const NUMBER_LENGTH_MAX = 1_000;
/** Shorter literals without an exponent have at most 15 digits, which a double always holds. */
const NUMBER_LENGTH_EASY = 15;

/** The digits of a decimal without zeros at either end, and the power of ten they are counted in. */
const decimalOf = (literal: string): string => {
  const [mantissa = '', exponent = '0'] = literal.toLowerCase().replace('-', '').split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const digits = (whole + fraction).replace(/^0+/, '');
  let end = digits.length;
  while (digits[end - 1] === '0') end -= 1;
  return `${digits.slice(0, end)}e${Number(exponent) - fraction.length + digits.length - end}`;
};

const numberIssue = (literal: string): string | null => {
  if (literal.length > NUMBER_LENGTH_MAX) return `has more than ${NUMBER_LENGTH_MAX} characters`;
  const value = Number(literal);
  if (!Number.isFinite(value)) return 'is larger than any number that can be kept (1.8e308)';
  if (value === 0 && /^-?[0.]*[1-9]/.test(literal))
    return 'is smaller than any number that can be kept (5e-324)';
  const isPlain = !/[eE]/.test(literal);
  if (isPlain && Math.abs(value) > Number.MAX_SAFE_INTEGER && decimalOf(literal) !== decimalOf(String(value)))
    return `is beyond 2^53 and would come back as ${value}; send it as text`;
  return null;
};

/** Above JSON_DEPTH_MAX, with room for what stands around an opaque value; the schemas say the exact depth. */
const DEPTH_MAX = 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** @returns where the string that begins at `start` has its closing quote. */
const closingQuote = (text: string, start: number): number => {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return end;
  }
};

const isNumberPart = (code: number): boolean =>
  (code >= 0x30 && code <= 0x39) || code === 0x2e || code === 0x2b || code === 0x2d || (code | 0x20) === 0x65;

/**
 * What JSON.parse would change without a word, so that it is refused instead:
 * - a field named `__proto__`, which object copies drop or take as a prototype (`constructor` and `prototype` are
 *   fields like any other: nothing here merges or looks up by a caller's names);
 * - a field that stands twice in one object: the first would be gone;
 * - what is nested deeper than any schema here allows, which would cost time;
 * - a number too large or too small for a double, and one in plain digits beyond 2^53 that a double does not hold.
 *   All others are read as the nearest double, as every JSON reader does; `-0` becomes 0.
 * @param text that JSON.parse took: the grammar is not checked again.
 */
export const findJsonIssues = (text: string): JsonIssue[] => {
  const issues: JsonIssue[] = [];
  /** The name or index at each depth. */
  const path: (string | number)[] = [];
  /** The names of each open object; null for an array. */
  const open: (Set<string> | null)[] = [];
  let expectsName = false;
  for (let at = 0; at < text.length && issues.length < ISSUES_MAX; ) {
    if (open.length > DEPTH_MAX) return [{ path, message: `is nested deeper than ${DEPTH_MAX}` }];
    const code = text.charCodeAt(at);
    switch (code) {
      case QUOTE: {
        const end = closingQuote(text, at);
        if (expectsName) {
          const raw = text.slice(at + 1, end);
          const name = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw;
          const names = open[open.length - 1] as Set<string>;
          path[path.length - 1] = name;
          if (name === '__proto__')
            issues.push({ path: [...path], message: 'is not accepted as a field name' });
          else if (names.has(name)) issues.push({ path: [...path], message: 'stands twice' });
          names.add(name);
          expectsName = false;
        }
        at = end + 1;
        break;
      }
      case 0x7b: // {
        open.push(new Set());
        path.push('');
        expectsName = true;
        at += 1;
        break;
      case 0x5b: // [
        open.push(null);
        path.push(0);
        expectsName = false;
        at += 1;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        open.pop();
        path.pop();
        expectsName = false;
        at += 1;
        break;
      case 0x2c: // ,
        if (open[open.length - 1] === null) (path[path.length - 1] as number) += 1;
        else expectsName = true;
        at += 1;
        break;
      case 0x2d:
      case 0x30:
      case 0x31:
      case 0x32:
      case 0x33:
      case 0x34:
      case 0x35:
      case 0x36:
      case 0x37:
      case 0x38:
      case 0x39: {
        let end = at + 1;
        let isEasy = true;
        for (let part = text.charCodeAt(end); isNumberPart(part); part = text.charCodeAt(end)) {
          if ((part | 0x20) === 0x65) isEasy = false;
          end += 1;
        }
        if (!isEasy || end - at > NUMBER_LENGTH_EASY) {
          const message = numberIssue(text.slice(at, end));
          if (message !== null) issues.push({ path: [...path], message });
        }
        at = end;
        break;
      }
      default:
        at += 1;
    }
  }
  return issues;
};

const isOpening = (code: number): boolean => code === 0x7b || code === 0x5b;
const isClosing = (code: number): boolean => code === 0x7d || code === 0x5d;
const COMMA = 0x2c;

/**
 * A member of the object that a JSON text is, as it was written: for who must give it on without a change.
 * @param text that JSON.parse took: the grammar is not checked again.
 * @returns undefined when it is no object, or has no such member
 */
export const memberText = (text: string, name: string): string | undefined => {
  if (!text.trimStart().startsWith('{')) return undefined;
  let depth = 0;
  let expectsName = true;
  let begin = -1;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = closingQuote(text, at);
      if (depth === 1 && expectsName) {
        expectsName = false;
        if (JSON.parse(text.slice(at, end + 1)) === name) begin = text.indexOf(':', end) + 1;
      }
      at = end;
    } else if (isOpening(code)) depth += 1;
    else if (isClosing(code)) depth -= 1;
    else if (code !== COMMA || depth !== 1) continue;
    else expectsName = true;
    const isEnd = depth === 0 || (code === COMMA && depth === 1);
    if (isEnd && begin !== -1) return text.slice(begin, at).trim();
  }
  return undefined;
};
