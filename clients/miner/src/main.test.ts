import { type ChildProcess, fork, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CoordinatorServer, KEY, startCoordinatorServer } from './testing/coordinator-server.ts';
import { eventually } from './testing/eventually.ts';
import { type ModelServer, startModelServer } from './testing/model-server.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const FORK_RUNNER = `
const { fork } = require('node:child_process');
const child = fork(process.argv[1], process.argv.slice(2), { stdio: 'inherit' });
child.on('exit', (code) => process.exit(code));
`;

let server: CoordinatorServer;
let api: ModelServer;
let child: ChildProcess | undefined;
let output = '';

const options = (...more: string[]): string[] => ['--coordinator', server.url, '--llm-url', api.url, ...more];
const watch = (started: ChildProcess): ChildProcess => {
  output = '';
  for (const stream of [started.stdout, started.stderr]) stream?.on('data', (chunk) => (output += chunk));
  child = started;
  return started;
};
const env = () => ({ ...process.env, AITBC_MINER_KEY: KEY });
const start = (...more: string[]): ChildProcess =>
  watch(
    spawn(process.execPath, [MAIN, ...options(...more)], { env: env(), stdio: ['ignore', 'pipe', 'pipe'] }),
  );
const exitCode = (process: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => {
    if (process.exitCode !== null) resolve(process.exitCode);
    process.on('exit', resolve);
  });

beforeEach(async () => {
  server = await startCoordinatorServer();
  api = await startModelServer(['tiny'], ['nomic-embed-text']);
});
afterEach(async () => {
  child?.kill('SIGKILL');
  child = undefined;
  await Promise.all([server.close(), api.close()]);
});

describe('the program', () => {
  it('offers what it finds, runs a real job of each kind, and ends on Ctrl-C', async () => {
    const agent = start('--concurrency', '4', '--price', '0.02', '--region', 'eu-west', '--name', 'box');
    const image = await readFile(new URL('../fixtures/invoice.png', import.meta.url), 'base64');
    const jobs = {
      ocr: server.submit('ocr', { image_base64: image, language: 'eng' }),
      language: server.submit('language_detection', { text: 'Où est la gare, s’il vous plaît ?' }),
      llm: server.submit('llm_inference', { model: 'tiny', prompt: 'Hi' }),
      embedding: server.submit('embedding', { model: 'nomic-embed-text', input: ['a'] }),
      chat: server.submit('chat_completion', {
        request: { model: 'tiny', messages: [{ role: 'user', content: 'Hi' }] },
      }),
      text: server.submit('text_completion', { request: { model: 'tiny', prompt: 'Hi' } }),
    };
    await eventually(() => expect(server.seen.reports).toHaveLength(6), 20_000);
    expect(server.reportOf(jobs.ocr).result).toMatchObject({
      text: expect.stringContaining('Total due: 42.00 AITBC'),
    });
    expect(server.reportOf(jobs.language).result).toMatchObject({ language: 'fr' });
    expect(server.reportOf(jobs.llm).result).toMatchObject({ text: 'Hello, world' });
    expect(server.reportOf(jobs.chat).result).toMatchObject({
      choices: [{ message: { content: 'Hello, world' } }],
    });
    expect(server.reportOf(jobs.text).result).toMatchObject({ choices: [{ text: 'Hello, world' }] });
    expect(server.reportOf(jobs.embedding).result).toMatchObject({ embeddings: [[1, 0.123456789, -1]] });
    expect(server.seen.registrations[0]).toMatchObject({
      name: 'box',
      capabilities: [
        'chat_completion',
        'text_completion',
        'llm_inference',
        'embedding',
        'ocr',
        'language_detection',
      ],
      models: ['nomic-embed-text', 'tiny'],
      price_per_job: 0.02,
      region: 'eu-west',
      concurrency: 4,
    });
    agent.kill('SIGINT');
    expect(await exitCode(agent)).toBe(0);
    expect(output).toContain('custom: not offered');
    expect(output).toMatch(new RegExp(`job ${jobs.ocr}: done in \\d+ ms, receipt `));
    for (const secret of [KEY, 'INVOICE', 'gare']) expect(output).not.toContain(secret);
  });

  it('says what to do when the key is refused, and ends with 1', async () => {
    server.fail('register', { status: 401, code: 'UNAUTHENTICATED' });
    const agent = start('--only', 'language_detection');
    expect(await exitCode(agent)).toBe(1);
    expect(output).toContain('check --key or AITBC_MINER_KEY');
  });

  it('finishes its job after the first signal, however often it is passed on in that moment', async () => {
    api.script.end = 'hold';
    const agent = start('--only', 'llm_inference', '--drain-seconds', '1');
    const id = server.submit('llm_inference', { model: 'tiny', prompt: 'Hi' });
    await eventually(() => expect(api.seen.chats).toHaveLength(1));
    const at = performance.now();
    agent.kill('SIGINT');
    agent.kill('SIGINT');
    agent.kill('SIGTERM');
    expect(await exitCode(agent)).toBe(0);
    expect(performance.now() - at).toBeGreaterThan(950);
    expect(server.reportOf(id)).toMatchObject({ error: { code: 'MINER_SHUTDOWN' }, retryable: true });
  });

  it('gives its job back at once after a second signal', async () => {
    api.script.end = 'hold';
    const agent = start('--only', 'llm_inference');
    const id = server.submit('llm_inference', { model: 'tiny', prompt: 'Hi' });
    await eventually(() => expect(api.seen.chats).toHaveLength(1));
    const at = performance.now();
    agent.kill('SIGTERM');
    // The second wish has to come after the time in which it would be an echo of the first.
    // And none after it was heard: an agent that is done leaves signals to the system, which end it.
    while (!output.includes('not waiting for running jobs') && performance.now() - at < 8_000) {
      await new Promise((resolve) => setTimeout(resolve, 700));
      if (!output.includes('not waiting for running jobs')) agent.kill('SIGTERM');
    }
    expect(await exitCode(agent)).toBe(0);
    expect(server.reportOf(id)).toMatchObject({ error: { code: 'MINER_SHUTDOWN' }, retryable: true });
  });

  it('drains when its supervisor dies', async () => {
    const parent = watch(
      spawn(process.execPath, ['-e', FORK_RUNNER, MAIN, ...options('--only', 'language_detection')], {
        env: env(),
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
    await eventually(() => expect(server.openPolls()).toBe(1));
    parent.kill('SIGKILL');
    await eventually(() => expect(output).toContain('the supervisor is gone'));
    await eventually(() => expect(output).toContain('ended: no job is left here'));
    await eventually(() => expect(parent.stdout?.closed).toBe(true));
  });

  it('ends by itself under a supervisor whose channel stays open', async () => {
    const agent = watch(fork(MAIN, options('--only', 'language_detection'), { env: env(), silent: true }));
    await eventually(() => expect(server.openPolls()).toBe(1));
    agent.kill('SIGTERM');
    expect(await exitCode(agent)).toBe(0);
  });
});
