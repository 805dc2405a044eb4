import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { eventually, freePort, rememberSecret } from '@aitbc/testing';
import { expect, test } from 'vitest';
import { newSeed, secretOf, signWebhook } from './signature.ts';

const root = resolve(import.meta.dirname, '../../../..');

test('the receiver of the README takes what is signed, and nothing else', async () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const code = /<!-- webhook receiver -->\n```js\n([\s\S]*?)```/.exec(readme)?.[1];
  expect(code).toBeDefined();
  // Where its import is found, as in the project of somebody who installed it.
  const folder = join(root, 'node_modules/.cache/readme-receiver');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${process.pid}.mjs`);
  writeFileSync(file, code as string);
  const secret = rememberSecret(secretOf(randomBytes(32), newSeed()));
  const port = await freePort();
  const receiver = spawn(process.execPath, [file], {
    env: { PATH: process.env.PATH, WEBHOOK_SECRET: secret, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  receiver.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  try {
    const body = '{"type":"job.completed","timestamp":"2026-11-29T00:00:00.000Z","data":{"job_id":"one"}}';
    const headers = signWebhook({ id: 'msg_1', atMs: Date.now(), body }, [secret]);
    const post = (text: string) =>
      fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers, body: text }).then(
        ({ status }) => status,
        () => undefined,
      );
    await eventually(async () => (await post(body)) === 200);
    await eventually(() => said.includes("msg_1 job.completed { job_id: 'one' }"));
    expect(await post(body.replace('one', 'two'))).toBe(400);
  } finally {
    receiver.kill('SIGKILL');
    rmSync(file);
  }
});
