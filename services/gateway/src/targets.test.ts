import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { listen } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { eventually, freePort, scratchDirectory } from '@aitbc/testing';
import { afterEach, expect, test } from 'vitest';
import { KEYS, startTestGateway, type TestGateway } from './testing/gateway.ts';

const TARGET = new URL('./testing/target.ts', import.meta.url).pathname;
const CALLERS = 6;
/** As services have it, and as much again for a busy machine. */
const LINGER_MS = 3_000;
/** A condition of requests one after the other; a busy machine answers a few a second. */
const WITHIN = { withinMs: 45_000 };
const MANY = { RATE_LIMIT_CLIENT_PER_MINUTE: '1000000' };

let gateway: TestGateway | undefined;
const children: ChildProcess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await gateway?.stop();
  gateway = undefined;
});

const spawnTarget = async (port: number, file: string): Promise<ChildProcess> => {
  const child = spawn(process.execPath, [TARGET, String(port), file], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  children.push(child);
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
};

type Answer = { readonly status: number; readonly id: string };
const ask = async (url: string, method: 'GET' | 'POST'): Promise<Answer> => {
  const id = newId();
  const reply = await fetch(`${url}/v1/client/jobs${method === 'GET' ? `/${newId()}` : ''}`, {
    method,
    headers: { 'x-api-key': KEYS.client, 'x-request-id': id, 'content-type': 'application/json' },
    ...(method === 'POST' ? { body: JSON.stringify({ text: 'x'.repeat(500) }) } : {}),
  });
  await reply.arrayBuffer();
  return { status: reply.status, id };
};

/** Callers that ask all the time. @returns what they were told, once they are told to stop */
const load = (url: string, method: 'GET' | 'POST') => {
  let isOver = false;
  const answers: Answer[] = [];
  const callers = Array.from({ length: CALLERS }, async () => {
    while (!isOver) answers.push(await ask(url, method));
  });
  return {
    answers,
    end: async () => {
      isOver = true;
      await Promise.all(callers);
      return answers;
    },
  };
};

test('a process of a service is killed under load: no GET fails, no POST is sent twice, and one retry succeeds', {
  timeout: 150_000,
}, async () => {
  const file = join(scratchDirectory(), 'heard');
  const ports = [await freePort(), await freePort()] as const;
  const [first] = [await spawnTarget(ports[0], file), await spawnTarget(ports[1], file)];
  gateway = await startTestGateway({
    ...MANY,
    JOBS_URL: ports.map((port) => `http://127.0.0.1:${port}`).join(','),
  });
  const gets = load(gateway.url, 'GET');
  const posts = load(gateway.url, 'POST');
  await eventually(() => gets.answers.length > 30 && posts.answers.length > 30, WITHIN);
  first.kill('SIGKILL');
  const killedAt = posts.answers.length;
  await eventually(() => posts.answers.length > killedAt + 30, WITHIN);
  // Back at its address, it is found again.
  const back = await spawnTarget(ports[0], file);
  await eventually(() => posts.answers.length > killedAt + 60, WITHIN);
  expect(back.exitCode).toBeNull();
  expect((await gets.end()).filter(({ status }) => status !== 200)).toEqual([]);
  const failed = (await posts.end()).filter(({ status }) => status !== 200);
  // Those whose answer the killed one owed: they may have been done, so whoever asked decides.
  expect(failed.length).toBeLessThanOrEqual(CALLERS);
  for (const { status } of failed) {
    expect(status).toBe(502);
    expect((await ask(gateway.url, 'POST')).status).toBe(200);
  }
  const heard = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('POST'));
  expect(new Set(heard).size).toBe(heard.length);
});

test('what cannot be connected goes to the next with its body; alone it is 503', {
  timeout: 30_000,
}, async () => {
  const file = join(scratchDirectory(), 'heard');
  const ports = [await freePort(), await freePort()] as const;
  await spawnTarget(ports[1], file);
  gateway = await startTestGateway({
    ...MANY,
    JOBS_URL: ports.map((port) => `http://127.0.0.1:${port}`).join(','),
    MINERS_URL: `http://127.0.0.1:${ports[0]}`,
  });
  for (let count = 0; count < 20; count += 1) {
    expect((await ask(gateway.url, 'GET')).status).toBe(200);
    expect((await ask(gateway.url, 'POST')).status).toBe(200);
  }
  const ready = await (await fetch(`${gateway.url}/health/ready`)).json();
  expect(ready).toMatchObject({ dependencies: { jobs: { ok: true }, miners: { ok: false } } });
  const alone = await fetch(`${gateway.url}/v1/miner/heartbeat`, {
    method: 'POST',
    headers: { 'x-api-key': KEYS.miner, 'content-type': 'application/json' },
    body: '{}',
  });
  expect(alone.status).toBe(503);
  expect(existsSync(file)).toBe(true);
});

test('a process that drains fails no request, though nothing is retried: POSTs too', {
  timeout: 60_000,
}, async () => {
  const answer: RequestListener = (request, response) => {
    request.resume().on('end', () => setTimeout(() => response.end('{}'), 2));
  };
  const start = () => listen(answer, '127.0.0.1', 0, { lingerMs: LINGER_MS });
  const targets = [await start(), await start()] as const;
  gateway = await startTestGateway({ ...MANY, JOBS_URL: targets.map(({ url }) => url).join(',') });
  const posts = load(gateway.url, 'POST');
  await eventually(() => posts.answers.length > 50, WITHIN);
  await targets[0].stop();
  const stoppedAt = posts.answers.length;
  await eventually(() => posts.answers.length > stoppedAt + 50, WITHIN);
  expect((await posts.end()).filter(({ status }) => status !== 200)).toEqual([]);
  await targets[1].stop();
});
