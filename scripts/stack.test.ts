import { spawn, spawnSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { scratchDirectory } from '@aitbc/testing';
import { beforeEach, expect, test } from 'vitest';
import { freePort } from '../libs/testing/src/ports.ts';
import { holdDataDir } from './data-lock.ts';
import { devSecrets } from './dev-secrets.ts';
import { readable } from './log-lines.ts';

let dataDir: string;
beforeEach(() => {
  dataDir = scratchDirectory();
});

async function start(args: string[], env: NodeJS.ProcessEnv) {
  const script = join(import.meta.dirname, 'start.ts');
  const child = spawn(process.execPath, [script, '--data-dir', dataDir, ...args], {
    // The hold on a data folder is found among the temporary files.
    env: { PATH: process.env.PATH, TMPDIR: tmpdir(), ...env },
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const code = await new Promise((done) => child.once('close', done));
  return { code, output };
}

test('in production nothing secret is made up: what is missing is listed, exit 2', async () => {
  const { code, output } = await start([], { NODE_ENV: 'production', ADMIN_API_KEYS: 'ak_live_1' });
  expect(code).toBe(2);
  expect(output).toContain('no value for SECRET_KEY, RECEIPT_SIGNING_KEY.');
  expect(() => statSync(join(dataDir, 'dev-secrets.json'))).toThrow();
});

test('a port that was asked for and is taken is an error, exit 1', async () => {
  const port = await freePort();
  const squatter = createServer().listen(port, '127.0.0.1');
  const byOption = await start(['--port', String(port)], { API_HOST: '127.0.0.1' });
  const byVariable = await start([], { API_HOST: '127.0.0.1', API_PORT: String(port) });
  squatter.close();
  for (const { code, output } of [byOption, byVariable]) {
    expect(code).toBe(1);
    expect(output).toMatch(new RegExp(`^port ${port} is taken: choose another`));
  }
});

test('a PostgreSQL that cannot be used is named in one sentence without its password, exit 2', async () => {
  const nobody = `127.0.0.1:${await freePort()}`;
  const of = (url: string) => start([], { POSTGRES_URL: url });
  expect(await of('postgres://a:hush@nowhere')).toEqual({
    code: 2,
    output: 'POSTGRES_URL: must look like postgres://user:password@host:5432/database\n',
  });
  expect(await of(`postgres://a:hush@${nobody}/rows`)).toEqual({
    code: 2,
    output: `POSTGRES_URL: postgres://${nobody}/rows (schema gateway) cannot be used: PostgreSQL cannot be reached\n`,
  });
});

test.each(['backup.ts', 'restore.ts'])('%s says how rows in PostgreSQL are copied', async (script) => {
  const { status, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, script)], {
    env: { PATH: process.env.PATH, POSTGRES_URL: 'postgres://a:hush@nowhere/rows' },
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([1, expect.stringContaining('pg_dump')]);
  expect(stderr).not.toContain('hush');
});

test('a data folder is held by one at a time, and free again afterwards', async () => {
  const release = await holdDataDir(dataDir);
  expect(await holdDataDir(dataDir)).toBeUndefined();
  // By the name that a command is given by default, too.
  expect(await holdDataDir(relative(process.cwd(), dataDir))).toBeUndefined();
  const { code, output } = await start([], {});
  expect({ code, output }).toMatchObject({ code: 1, output: expect.stringContaining('running on') });
  release?.();
  const again = await holdDataDir(dataDir);
  expect(again).toBeTypeOf('function');
  again?.();
});

test('development secrets are made once, for the owner alone', () => {
  const made = devSecrets(dataDir);
  expect(devSecrets(dataDir)).toEqual(made);
  expect(statSync(join(dataDir, 'dev-secrets.json')).mode & 0o777).toBe(0o600);
  const keys = Object.values(made.keys);
  expect(new Set(keys).size).toBe(4);
  for (const key of keys) expect(key).toMatch(/^ak_dev_[\w-]{43}$/);
  const der = Buffer.from(made.RECEIPT_SIGNING_KEY, 'base64');
  expect(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).asymmetricKeyType).toBe('ed25519');
});

test('a JSON log line becomes a readable one, any other stays', () => {
  const line = '{"level":40,"time":1,"pid":2,"hostname":"h","msg":"slow","ms":7,"route":"/v1","err":{"a":1}}';
  expect(readable(line)).toBe('warning slow ms=7 route=/v1 err={"a":1}');
  expect(readable('{"level":30,"msg":"up"}')).toBe('up');
  for (const other of ['plain', '{not json', '{"a":1}']) expect(readable(other)).toBe(other);
});
