import fc from 'fast-check';

// JSON that two readers may read in two ways: numbers written oddly, and names that stand twice.

/** Numbers as people and programs write them, and as nobody should. */
export const oddNumber: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    ...['0', '-0', '-0.0', '0e0', '0e999', '1e2', '1E+2', '100e-2', '1.0', '1.00000000000000000000', '0.1e1'],
    ...['0.1', '0.30000000000000004', '0.1000000000000000055511151231257827', '2.5e-8', '0.000000001'],
    ...[
      '9007199254740991',
      '9007199254740992',
      '9007199254740993',
      '-9007199254740993',
      '9007199254740993.0',
    ],
    ...['9007199254740993e0', '18446744073709551615', '123456789012345678901234567890', '1e22', '1e23'],
    ...['1e400', '-1e400', '1e-400', '5e-324', '2e-324', '1.7976931348623157e308', '1.7976931348623159e308'],
    ...[`1${'0'.repeat(400)}`, `0.${'0'.repeat(400)}1`, `1e${'0'.repeat(50)}5`, `0.${'1'.repeat(1_100)}`],
  ),
  fc
    .record({
      sign: fc.constantFrom('', '-'),
      whole: fc.bigInt({ min: 0n, max: 10n ** 22n }),
      fraction: fc.option(fc.bigInt({ min: 0n, max: 10n ** 20n }), { nil: undefined }),
      exponent: fc.option(fc.integer({ min: -330, max: 330 }), { nil: undefined, freq: 1 }),
    })
    .map(
      ({ sign, whole, fraction, exponent }) =>
        `${sign}${whole}${fraction === undefined ? '' : `.${fraction}`}${exponent === undefined ? '' : `e${exponent}`}`,
    ),
);

/** A decimal as a whole number times a power of ten, in one form: two literals are equal when these are. */
const exactly = (literal: string): string => {
  const [, sign, whole, fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(literal) ?? [];
  let digits = BigInt(`${whole}${fraction}`);
  let power = Number(exponent) - fraction.length;
  if (digits === 0n) return '0';
  for (; digits % 10n === 0n; digits /= 10n) power += 1;
  return `${sign}${digits}e${power}`;
};

/**
 * Whether a number may be taken in: when it comes back as what it was. Written with an exponent, or below 2^53, it stands
 * for the nearest double, as in every reader of JSON; plain digits beyond 2^53 stand for themselves.
 */
export const canBeKept = (literal: string): boolean => {
  const value = Number(literal);
  if (literal.length > 1_000 || !Number.isFinite(value)) return false;
  if (value === 0) return exactly(literal) === '0';
  const isPlain = !/e/i.test(literal);
  return (
    !isPlain || Math.abs(value) <= Number.MAX_SAFE_INTEGER || exactly(literal) === exactly(String(value))
  );
};

/** A value as text, in which one name of one object stands twice; and where. */
export const withTwin = (value: object): fc.Arbitrary<{ text: string; path: string }> => {
  const objects: { path: string[]; names: string[] }[] = [];
  const walk = (inner: unknown, path: string[]): void => {
    if (inner === null || typeof inner !== 'object') return;
    if (!Array.isArray(inner)) objects.push({ path, names: Object.keys(inner) });
    for (const [name, one] of Object.entries(inner)) walk(one, [...path, name]);
  };
  walk(value, []);
  const places = objects.flatMap(({ path, names }) => names.map((name) => ({ path, name })));
  const write = (inner: unknown, path: string, at: string, twin: string): string => {
    if (inner === null || typeof inner !== 'object') return JSON.stringify(inner);
    const parts = Object.entries(inner).map(([name, one]) => {
      const text = write(one, `${path}/${name}`, at, twin);
      return Array.isArray(inner) ? text : `${JSON.stringify(name)}:${text}`;
    });
    if (Array.isArray(inner)) return `[${parts.join()}]`;
    return `{${[...parts, ...(path === at ? [twin] : [])].join()}}`;
  };
  const escaped = (name: string) =>
    `"\\u${name.charCodeAt(0).toString(16).padStart(4, '0')}${JSON.stringify(name.slice(1)).slice(1)}`;
  return fc
    .record({
      place: fc.constantFrom(...places),
      isEscaped: fc.boolean(),
      again: fc.constantFrom('null', '1', '"x"', '{}', '[]'),
    })
    .map(({ place: { path, name }, isEscaped, again }) => {
      const twin = `${isEscaped ? escaped(name) : JSON.stringify(name)}:${again}`;
      const at = path.map((part) => `/${part}`).join('');
      return { text: write(value, '', at, twin), path: [...path, name].join('.') };
    });
};
