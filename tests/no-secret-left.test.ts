import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchDirectory } from '@aitbc/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { devSecrets } from '../scripts/dev-secrets.ts';
import { keyOf, sessionTokenOf } from '../services/gateway/src/domain.ts';
import { secretsIn } from './no-secret-left.ts';

let folder: string;
beforeEach(() => {
  folder = scratchDirectory();
});
// Or the search at the end of the run would find what is planted here.
afterEach(() => rmSync(folder, { recursive: true }));

const leave = (file: string, text: string) => {
  mkdirSync(join(folder, 'below'), { recursive: true });
  writeFileSync(
    join(folder, 'below', file),
    Buffer.concat([randomBytes(5), Buffer.from(text), randomBytes(5)]),
  );
  return secretsIn(folder).found.map((find) => `${find.kind} in ${find.file}`);
};
const key = () => keyOf('test', randomBytes(32));

test.each([
  ['API key', key()],
  [
    'API key', // begins inside what only began like one
    `"ak_live_${'x'.repeat(20)}${key()}x"`,
  ],
  ['session token', `"${sessionTokenOf(randomBytes(32))}"`],
])('by its form is found: %s', (kind, text) => {
  expect(leave('market.db', text)).toEqual([`${kind} in below/market.db`]);
});

test('a private key is found by its form, but where development keeps its own', () => {
  const { RECEIPT_SIGNING_KEY } = devSecrets(join(scratchDirectory(), 'elsewhere'));
  expect(leave('said.log', RECEIPT_SIGNING_KEY)).toEqual(['private key in below/said.log']);
  rmSync(join(folder, 'below', 'said.log'));
  expect(leave('jobs.db-wal', RECEIPT_SIGNING_KEY)).toEqual([]);
  expect(leave('jobs.db-wal', key())).toEqual(['API key in below/jobs.db-wal']);
});

test('what looks like one and is none is left alone', () => {
  const mistyped = key().replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
  const signature = `${randomBytes(20).toString('base64url')}st_${randomBytes(60).toString('base64url')}`;
  expect(leave('said.log', `"${mistyped}" "${signature}"`)).toEqual([]);
});

test.each([
  ['as it is', (secret: string) => secret],
  ['in hexadecimal', (secret: string) => Buffer.from(secret).toString('hex')],
  ['in base64', (secret: string) => Buffer.from(secret).toString('base64')],
  ['in base64 after one byte', (secret: string) => Buffer.from(`"${secret}"`).toString('base64')],
  ['in base64url after two bytes', (secret: string) => Buffer.from(`{"${secret}"`).toString('base64url')],
  ['across two reads', (secret: string) => 'x'.repeat(16 * 1024 * 1024 - 20) + secret],
])('what is known is found %s, and not where it is at home', (_, write) => {
  const { SECRET_KEY, RECEIPT_SIGNING_KEY, keys } = devSecrets(folder);
  expect(secretsIn(folder).found).toEqual([]);
  expect(leave('jobs.db', write(SECRET_KEY))).toEqual(['SECRET_KEY of dev-secrets.json in below/jobs.db']);
  expect(leave('jobs.db', write(RECEIPT_SIGNING_KEY))).toEqual([
    'RECEIPT_SIGNING_KEY of dev-secrets.json in below/jobs.db',
  ]);
  expect(leave('jobs.db', write(keys.miner))).toEqual(['miner of dev-secrets.json in below/jobs.db']);
});
