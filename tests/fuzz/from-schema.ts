import fc from 'fast-check';
import { z } from 'zod';

type Schema = {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  pattern?: string;
  format?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
};

/** Values that break careless code: wrong kinds, edges of numbers, text that means something to somebody else. */
export const hostile: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    '',
    ' ',
    0,
    -0,
    -1,
    0.1 + 0.2,
    1e-9,
    5e-324,
    1.7976931348623157e308,
    2 ** 53,
    -(2 ** 63),
    '0',
    '1e999',
    'NaN',
    'Infinity',
    '0x10',
    '१२३',
    [],
    {},
    [[]],
    { toString: 'x' },
    { constructor: { prototype: { admin: true } } },
    { $gt: '' },
    { length: 1e9 },
    "' OR '1'='1",
    "1'; DROP TABLE job; --",
    '%27%20UNION%20SELECT%20*%20FROM%20api_key--',
    '{{7*7}}',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the text is the point
    '${7*7}',
    '<script>alert(1)</script>',
    '../../etc/passwd',
    'file:///etc/passwd',
    'http://169.254.169.254/',
    '\u0000',
    'a\u0000b',
    '\r\nX-Caller: admin',
    '\u202Egnp.exe',
    '\uFEFF',
    'ﷺ'.repeat(200),
    'e\u0301'.repeat(300),
    '👩‍👩‍👧‍👦'.repeat(50),
    '\uD800',
    'K', // the Kelvin sign, which lower-cases to k
    'ſ',
    // They take a backtracking matcher for ever.
    `${'a'.repeat(30_000)}!`,
    `${' '.repeat(30_000)}x`,
    `${'0'.repeat(5_000)}.`,
    '9'.repeat(400),
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00.000Z',
    '0000-00-00T00:00:00Z',
    '+275760-09-13T00:00:00.000Z',
    '0190f2a4-6c3b-7d21-9a52-3f7b6f0c1e42',
    '0190F2A4-6C3B-7D21-9A52-3F7B6F0C1E42',
    'urn:uuid:0190f2a4-6c3b-7d21-9a52-3f7b6f0c1e42',
  ),
  fc.array(fc.constant('x'), { minLength: 1_100, maxLength: 1_200 }),
  fc.integer({ min: 40, max: 2_000 }).map((depth) => {
    let value: unknown = 1;
    for (let index = 0; index < depth; index += 1) value = [value];
    return value;
  }),
  fc.jsonValue(),
  fc.string({ unit: 'binary', maxLength: 200 }),
);

/** Text of any pattern that the generator can read; of others something simple. */
const textFor = (schema: Schema): fc.Arbitrary<string> => {
  if (schema.format === 'date-time') {
    return fc
      .date({ min: new Date('2020-01-01'), max: new Date('2035-01-01'), noInvalidDate: true })
      .map((date) => date.toISOString());
  }
  if (schema.format === 'uri') return fc.webUrl();
  const minLength = schema.minLength ?? 0;
  const maxLength = Math.min(schema.maxLength ?? 60, Math.max(minLength, 60));
  if (schema.pattern !== undefined) {
    try {
      return fc.stringMatching(new RegExp(schema.pattern), { size: 'small' });
    } catch {
      // A construct it does not know.
    }
  }
  return fc.string({ minLength, maxLength, unit: 'grapheme' });
};

const numberFor = (schema: Schema, isInteger: boolean): fc.Arbitrary<number> => {
  const min = schema.minimum ?? schema.exclusiveMinimum ?? 0;
  const max = Math.min(schema.maximum ?? 1_000, Number.MAX_SAFE_INTEGER);
  if (isInteger) return fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max, min - 1, max + 1));
  return fc.oneof(
    fc.integer({ min: 0, max: 100_000 }).map((part) => min + ((max - min) * part) / 100_000),
    fc.constantFrom(min, max, 1.25, 0.00000001),
  );
};

const objectFor = (schema: Schema): fc.Arbitrary<unknown> => {
  const properties = Object.entries(schema.properties ?? {});
  const fields = Object.fromEntries(properties.map(([name, one]) => [name, valueFor(one)]));
  const known = fc.record(fields, { requiredKeys: (schema.required ?? []).filter((name) => name in fields) });
  if (properties.length > 0) return known;
  return fc.dictionary(fc.string({ maxLength: 20 }), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 });
};

/** Values that mostly fit a schema. */
const valueFor = (schema: Schema): fc.Arbitrary<unknown> => {
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map(valueFor));
  if (schema.allOf !== undefined) return valueFor(Object.assign({}, ...schema.allOf));
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case 'string':
      return textFor(schema);
    case 'integer':
      return numberFor(schema, true);
    case 'number':
      return numberFor(schema, false);
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array':
      return fc.array(valueFor(schema.items ?? {}), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 4, Math.max(schema.minItems ?? 0, 4)),
      });
    case 'object':
      return objectFor(schema);
    default:
      return fc.jsonValue();
  }
};

/** All places inside a value, as ways to put something else there. */
const places = (value: unknown): ((replacement: unknown) => unknown)[] => {
  const here = (replacement: unknown) => replacement;
  if (value === null || typeof value !== 'object') return [here];
  const inside = Object.entries(value).flatMap(([key, inner]) =>
    places(inner).map((put) => (replacement: unknown) => {
      const copy: Record<string, unknown> = Array.isArray(value)
        ? ([...value] as never)
        : Object.assign(Object.create(null), value);
      copy[key] = put(replacement);
      return copy;
    }),
  );
  return [here, ...inside];
};

/** What a caller might send for a schema: fitting, or fitting but for one place. */
export const sentFor = (schema: z.ZodType): fc.Arbitrary<unknown> => {
  const described = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    reused: 'inline',
  }) as Schema;
  const fitting = valueFor(described);
  const broken = fc.tuple(fitting, hostile, fc.nat()).map(([value, bad, at]) => {
    const all = places(value);
    return all[at % all.length]?.(bad);
  });
  const extended = fc
    .tuple(
      fitting,
      fc.constantFrom('__proto__', 'constructor', 'prototype', 'id', 'account_id', 'scopes', '$where'),
      hostile,
    )
    .map(([value, key, bad]) =>
      Object.defineProperty({ ...(value as object) }, key, { value: bad, enumerable: true }),
    );
  return fc.oneof(
    { weight: 4, arbitrary: fitting },
    { weight: 4, arbitrary: broken },
    { weight: 1, arbitrary: extended },
  );
};
