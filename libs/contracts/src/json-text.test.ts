import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson } from './canonical-json.ts';
import { findJsonIssues, memberText } from './json-text.ts';

const pathsIn = (text: string): string[] => {
  JSON.parse(text);
  return findJsonIssues(text).map(({ path }) => path.join('.'));
};

describe('numbers', () => {
  test.each([
    '0',
    '-0',
    '1.0',
    '1e3',
    '0.1',
    '1E-7',
    '5e-324',
    '1.7976931348623157e308',
    '9007199254740991',
    '9007199254740992',
    '-9007199254740992',
    '9007199254740994',
    '1e23',
    '1e+22',
    '1.2345678901234568e+17',
    '0.30000000000000004',
    '0.1000000000000000055511151231257827',
    '1e300',
    '100000000000000000000.000000',
    '1152921504606847000',
    '0e999',
    '0.000',
    '-0.0',
    '123456789.123456789',
    '1e0000000005',
  ])('%s is kept', (literal) => {
    expect(pathsIn(`{"a":[${literal}]}`)).toEqual([]);
  });

  test.each(
    [
      '1e999',
      '-1e999',
      '1e-999',
      '0.00001e-400',
      '9007199254740993',
      '-9007199254740993',
      '9007199254740991.5',
      '12345678901234567890.5',
      '18446744073709551615',
      '1152921504606846976',
      '9'.repeat(400),
      `0.${'1'.repeat(1_001)}`,
      `1${'0'.repeat(400_000)}`,
      `0.${'0'.repeat(400)}1`,
    ].map((literal) => ({ name: literal.slice(0, 40), literal })),
  )('$name is refused with its place', ({ literal }) => {
    expect(pathsIn(`{"a":{"b":[0,{"c":${literal}}]}}`)).toEqual(['a.b.1.c']);
    expect(pathsIn(literal)).toEqual(['']);
  });

  test('whatever a double prints passes, as JavaScript and as Python write it', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(findJsonIssues(JSON.stringify([value]))).toEqual([]);
        expect(findJsonIssues(`[${value.toExponential()}]`)).toEqual([]);
      }),
    );
  });

  test('what passes in plain digits is the same number when it is written again', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 25n), max: 10n ** 25n }), (value) => {
        const passes = findJsonIssues(String(value)).length === 0;
        const written = canonicalJson(JSON.parse(String(value)));
        expect(passes).toBe(
          BigInt(
            Number(written).toLocaleString('fullwide', { useGrouping: false, maximumSignificantDigits: 21 }),
          ) === value,
        );
      }),
    );
  });
});

describe('names', () => {
  test.each([
    ['{"__proto__":1}', ['__proto__']],
    ['{"a":[1,{"__pr\\u006fto__":{"b":1}}]}', ['a.1.__proto__']],
    ['{"a":{"b":1,"b":2},"b":3,"a":4}', ['a.b', 'a']],
    ['{"a":1,"\\u0061":2}', ['a']],
    ['{"":1,"":2}', ['']],
    ['[[{"x":1},{"x":1,"y":{"x":1}}],{"x":1}]', []],
    ['{"constructor":{"prototype":1},"toString":2,"hasOwnProperty":3}', []],
    ['"__proto__"', []],
    ['{"text":"__proto__","\\\\":"\\"__proto__\\":1e999,"}', []],
    ['{"a" : "__proto__" , "b" :\t[ "__proto__" ]}', []],
    ['{"a\\\\":"\\\\\\\\","b":{"c":"\\\\\\""},"__proto__":0}', ['__proto__']],
  ])('%s', (text, paths) => {
    expect(pathsIn(text)).toEqual(paths);
  });

  test('any value as JSON.stringify writes it has nothing to refuse, however it is spaced', () => {
    fc.assert(
      fc.property(fc.json(), fc.integer({ min: 0, max: 3 }), (text, indent) => {
        expect(findJsonIssues(JSON.stringify(JSON.parse(text), null, indent))).toEqual(
          text.includes('__proto__') ? expect.anything() : [],
        );
      }),
    );
  });

  test('twenty are named, not all', () => {
    expect(pathsIn(`[${'1e999,'.repeat(50)}0]`)).toHaveLength(20);
  });
});

test('a body of 4 MB of anything is looked through in a moment', () => {
  const MB4 = 4 * 1024 * 1024;
  const filled = (part: string, before = '[', after = '0]') =>
    before + part.repeat(Math.floor((MB4 - before.length - after.length) / part.length)) + after;
  for (const text of [
    filled('1,'),
    '['.repeat(MB4 / 2) + ']'.repeat(MB4 / 2),
    filled('"\\\\\\"",', '[', '""]'),
    filled('\\"', '"', '"'),
    filled('\\\\', '"', '"'),
    filled('0', '0.', '1'),
    filled('{"a":1},', '[', '0]'),
    `{${Array.from({ length: 400_000 }, (_, at) => `"${at}":1`).join()}}`,
  ]) {
    const startedAt = performance.now();
    findJsonIssues(text);
    expect([text.slice(0, 10), performance.now() - startedAt < 2_000]).toEqual([text.slice(0, 10), true]);
  }
});

describe('a member as it was written', () => {
  test.each([
    ['{"a":1.0}', '1.0'],
    [' { "b" : [1,{"a":2}] , "a" :  {"2":1e2, "1":"}\\"," } } ', '{"2":1e2, "1":"}\\"," }'],
    ['{"b":"a","a":"\\u00e4\\\\"}', '"\\u00e4\\\\"'],
    ['{"\\u0061":[ ]}', '[ ]'],
    ['{"a":null,"b":2}', 'null'],
    ['{"b":{"a":1}}', undefined],
    ['["a","a"]', undefined],
    ['"a"', undefined],
    ['{}', undefined],
  ])('of %s', (text, written) => {
    JSON.parse(text);
    expect(memberText(text, 'a')).toBe(written);
  });

  test('of anything means what it meant', () => {
    fc.assert(
      fc.property(fc.json(), fc.string(), fc.json(), (before, name, value) => {
        const text = `{"-":${before}, ${JSON.stringify(`x${name}`)} : ${value} ,"z":${before}}`;
        expect(memberText(text, `x${name}`)).toBe(value.trim());
      }),
    );
  });
});
