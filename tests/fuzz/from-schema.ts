import fc from 'fast-check';
import { z } from 'zod';

type Schema = {
  $ref?: string;
  $defs?: Record<string, Schema>;
  example?: unknown;
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

/** Values by the name of the field that they stand in; `undefined` leaves the field out. */
export type Known = Readonly<Record<string, readonly unknown[]>>;
interface Making {
  readonly known: Known;
  /** What stands behind each `$ref`. */
  readonly named: Readonly<Record<string, Schema>>;
}

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

/** Inside its bounds, often at them; one in twelve is just outside. */
const numberFor = (schema: Schema, isInteger: boolean): fc.Arbitrary<number> => {
  const step = isInteger ? 1 : 0.0001;
  const min = schema.minimum ?? (schema.exclusiveMinimum === undefined ? 0 : schema.exclusiveMinimum + step);
  const max = Math.min(schema.maximum ?? 1_000, Number.MAX_SAFE_INTEGER);
  const inside = isInteger
    ? fc.integer({ min, max })
    : // Four decimals: most amounts and shares take no more than six or eight.
      fc.nat(10_000).map((part) => Number((min + ((max - min) * part) / 10_000).toFixed(4)));
  return fc.oneof(
    { weight: 8, arbitrary: inside },
    { weight: 3, arbitrary: fc.constantFrom(min, max) },
    { weight: 1, arbitrary: fc.constantFrom(min - step, max + step, 0.00000001) },
  );
};

/** Ids of what is there, and what was taken from an example, get further than text that merely fits. */
const fieldFor = (name: string, schema: Schema, making: Making): fc.Arbitrary<unknown> => {
  const known = making.known[name] ?? (schema.example === undefined ? [] : [schema.example]);
  const any = valueFor(schema, making);
  if (known.length === 0) return any;
  return fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...known) }, { weight: 1, arbitrary: any });
};

const objectFor = (schema: Schema, making: Making): fc.Arbitrary<unknown> => {
  const properties = Object.entries(schema.properties ?? {});
  const fields = Object.fromEntries(properties.map(([name, one]) => [name, fieldFor(name, one, making)]));
  const known = fc.record(fields, { requiredKeys: (schema.required ?? []).filter((name) => name in fields) });
  if (properties.length > 0) return known;
  return fc.dictionary(fc.string({ maxLength: 20 }), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 });
};

/** Values that mostly fit a schema. */
const valueFor = (schema: Schema, making: Making): fc.Arbitrary<unknown> => {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.replace('#/$defs/', '');
    const behind = making.named[name];
    if (behind === undefined) throw new Error(`nothing is named ${schema.$ref}`);
    return valueFor(behind, making);
  }
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => valueFor(choice, making)));
  if (schema.allOf !== undefined) return valueFor(Object.assign({}, ...schema.allOf), making);
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
      return fc.array(valueFor(schema.items ?? {}, making), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 4, Math.max(schema.minItems ?? 0, 4)),
      });
    case 'object':
      return objectFor(schema, making);
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

/**
 * What a caller might send for a schema: fitting, or fitting but for one place.
 * @param known what fields of these names are mostly filled with
 * @param examples whole values that fit, where fields have to fit each other too
 */
export const sentFor = (
  schema: z.ZodType,
  known: Known,
  examples: readonly unknown[] = [],
): fc.Arbitrary<unknown> => {
  const described = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    reused: 'inline',
  }) as Schema;
  const made = valueFor(described, { known, named: described.$defs ?? {} });
  const fitting = examples.length === 0 ? made : fc.oneof(made, fc.constantFrom(...examples));
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
    { weight: 6, arbitrary: fitting },
    { weight: 4, arbitrary: broken },
    { weight: 1, arbitrary: extended },
  );
};
