import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { Base64 } from './base64.ts';
import { Id, newId } from './ids.ts';
import { JOB_TYPES } from './job-types.ts';
import { ledgerAddress } from './ledger.ts';
import { Address, Hash } from './ledger-fields.ts';
import { cardKey, modelKey } from './model-names.ts';
import { PageQuery } from './page.ts';
import { type Issue, validationProblem } from './problem.ts';
import { DecimalNumber, WholeNumber } from './query.ts';
import { MinerRegistration } from './routes/miners.ts';
import { Text } from './text.ts';

describe('a text that people read', () => {
  const Title = Text(10, 40);
  const zeroWidth = '\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u3164\u115f\u2800\u200e\u{e0041}';
  test.each([
    ['zero-width characters', zeroWidth],
    ['blanks of all kinds', ' \t\n\u00a0\u2003\u3000        '],
    ['both', `${zeroWidth} ${zeroWidth}`],
    ['one letter among them', `a${zeroWidth}`],
    ['two letters far apart', `a${' '.repeat(20)}b`],
    ['blanks apart from each other', ' \u200b'.repeat(15)],
    ['NUL', 'A proposal\u0000'],
    ['an escape sequence', 'A proposal\u001b[2J'],
    ['half a surrogate pair', 'A proposal \ud83d'],
    ['too long a text', 'x'.repeat(41)],
  ])('is not %s', (_name, text) => {
    expect(Title.safeParse(text).success).toBe(false);
  });

  test('is kept as it was sent, but for the white space around it', () => {
    expect(Title.parse('  Lower the fee \n')).toBe('Lower the fee');
    // A family is one picture of four, joined by zero-width characters; é in two characters stays two.
    for (const text of [
      '👩‍👩‍👧‍👦 and others',
      'e\u0301'.repeat(10),
      'عنوان الاقتراح',
      '提案提案提案提案提案',
      'line one\n\tline two',
    ])
      expect(Title.parse(text)).toBe(text);
    expect(Text(0, 10).parse(' \u200b')).toBe('\u200b');
    expect(z.toJSONSchema(Text(1, 5))).toMatchObject({ type: 'string', minLength: 1, maxLength: 5 });
  });
});

describe('base64', () => {
  const bytes = Buffer.from([0xfb, 0xff, 0xbe, 1, 2, 3, 4]);
  const normal = bytes.toString('base64');
  test.each([
    ['as it should be', normal],
    ['url-safe', normal.replaceAll('+', '-').replaceAll('/', '_')],
    ['unpadded', normal.replaceAll('=', '')],
    ['url-safe and unpadded', bytes.toString('base64url')],
    ['in lines', `${normal.slice(0, 5)}\r\n${normal.slice(5)}\n`],
    ['a data URI', `data:image/png;base64,${normal}`],
    ['a data URI with a charset, in lines', ` data:image/svg+xml;charset=utf-8;BASE64,\n${normal}`],
    ['with bits that no byte has', `${normal.slice(0, -3)}B==`],
  ])('%s', (_name, text) => {
    expect(Base64(8, 100).parse(text)).toBe(normal);
    expect(JOB_TYPES.ocr.parse({ image_base64: text }).image_base64).toBe(normal);
  });

  test.each([
    ['no base64', 'certainly not!'],
    ['cut off', normal.slice(0, 9)],
    ['padded in the middle', 'QUJD=UJDQUJD'],
    ['padded too much', `${normal}=`],
    ['a data URI of text', 'data:text/plain,certainly'],
    ['too long', 'A'.repeat(104)],
    ['too short', 'QUI'],
    ['a long text that begins like one', `data:${'a'.repeat(200_000)}`],
    ['signs of equality', `${'='.repeat(200_000)}x`],
  ])('%s is refused', (_name, text) => {
    expect(Base64(8, 100).safeParse(text).success).toBe(false);
  });
});

test('ids, hashes and addresses in capitals are the same ones', () => {
  const id = '0190f2a4-6c3b-7d21-9a52-3f7b6f0c1e42';
  expect(Id.parse(id.toUpperCase())).toBe(id);
  expect(Hash.parse('AB'.repeat(32))).toBe('ab'.repeat(32));
  const address = ledgerAddress(id);
  expect(Address.parse(address.toUpperCase())).toBe(address);
  // The Kelvin sign is k in lower case.
  expect(Address.safeParse(`ait1${'\u212a'.repeat(32)}`).success).toBe(false);
});

describe('numbers in paths and queries', () => {
  test.each([
    '0x10',
    '1e1',
    ' 5',
    '5 ',
    '+5',
    '-5',
    '',
    ' ',
    '%20',
    '5.0',
    '٥',
    '0b1',
    '1_0',
    '9'.repeat(30),
    '501',
    '0',
  ])('limit=%s is refused', (limit) => {
    expect(PageQuery.safeParse({ limit }).success).toBe(false);
  });
  test.each(['0', '501', '5.0', '9'.repeat(20)])('limit=%s is told what would do', (limit) => {
    const { error } = PageQuery.safeParse({ limit });
    expect(new Set(error?.issues.map((issue) => issue.message))).toEqual(
      new Set(['must be a whole number from 1 to 500 in plain digits']),
    );
  });
  test('plain digits are read', () => {
    expect(PageQuery.parse({ limit: '16' }).limit).toBe(16);
    expect(PageQuery.parse({}).limit).toBe(50);
    expect(WholeNumber(0, 9).optional().parse(undefined)).toBeUndefined();
    const Price = DecimalNumber(z.number().gte(0));
    expect(Price.parse('0.25')).toBe(0.25);
    for (const text of ['1e-1', '.5', '5.', '+1', '0x1', 'Infinity', ''])
      expect(Price.safeParse(text).success).toBe(false);
  });
});

test('of a body that has several forms, what is wrong with the one that was meant is told', () => {
  const Body = z.union([
    z.strictObject({
      job_id: Id,
      status: z.enum(['completed', 'failed']),
      error: z.strictObject({ code: z.string() }).optional(),
    }),
    z.strictObject({ results: z.array(z.unknown()).min(1) }),
  ]);
  const issuesOf = (schema: z.ZodType, value: unknown) => {
    const { error } = schema.safeParse(value);
    return validationProblem(error as z.ZodError).details.issues as Issue[];
  };
  const pathsOf = (value: unknown) => issuesOf(Body, value).map(({ path }) => path);
  const job_id = newId();
  expect(pathsOf({ job_id, status: 'done' })).toEqual(['status']);
  expect(pathsOf({ job_id, status: 'failed', error: 'because' })).toEqual(['error']);
  expect(pathsOf({ job_id, status: 'failed', reason: 1 })).toEqual(['reason']);
  expect(pathsOf({})).toEqual(['job_id', 'status']);
  expect(pathsOf({ results: 1 })).toEqual(['results']);
  expect(pathsOf({ results: [], job_id })).toEqual(['results', 'job_id']);
  expect(pathsOf([])).toEqual(['']);
  // Of a field that is a text or a list.
  const Texts = z.strictObject({ input: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]) });
  expect(issuesOf(Texts, { input: 5 })).toEqual([
    { path: 'input', message: 'Invalid input: expected string or array, received number' },
  ]);
  expect(issuesOf(Texts, {})).toEqual([
    { path: 'input', message: 'Invalid input: expected string or array, received undefined' },
  ]);
  expect(issuesOf(Texts, { input: ['a', 5] }).map(({ path }) => path)).toEqual(['input.1']);
});

test('a field of any kind that is missing is said to be required', () => {
  const { error } = z.looseObject({ messages: z.unknown() }).safeParse({});
  expect(validationProblem(error as z.ZodError).details.issues).toEqual([
    { path: 'messages', message: 'is required' },
  ]);
});

test('a registration needs an address and what the miner can do', () => {
  const registration = MinerRegistration.parse({ address: 'a', capabilities: ['ocr'] });
  expect(registration).toEqual({ address: 'a', capabilities: ['ocr'], gpus: [], models: [], concurrency: 1 });
});

test('names of models and cards have one form to compare', () => {
  expect(new Set(['llama3.2', 'Llama3.2', 'llama3.2:latest', ' LLAMA3.2:LATEST '].map(modelKey))).toEqual(
    new Set(['llama3.2']),
  );
  expect(modelKey('llama3.2:1b')).toBe('llama3.2:1b');
  expect(new Set(['RTX 4090', 'rtx-4090', 'RTX4090'].map(cardKey))).toEqual(new Set(['rtx 4090']));
  expect(cardKey('RTX 4080 SUPER')).not.toBe(cardKey('RTX 4080'));
  // Nothing of a name in another script is lost, and what has neither letter nor digit is still a name of its own.
  for (const [one, other] of [
    ['显卡甲', '显卡乙'],
    ['карта А 24', 'карта Б 24'],
    ['★', '☆'],
  ])
    expect(cardKey(one as string)).not.toBe(cardKey(other as string));
  expect([':latest', ' '].map(modelKey)).toEqual([':latest', ' ']);
});
