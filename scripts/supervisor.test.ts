import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { freePort } from '../libs/testing/src/ports.ts';
import { type ProcessSpec, type SuperviseOptions, type Supervisor, supervise } from './supervisor.ts';

let folder: string;
let supervisor: Supervisor | undefined;
let lines: string[] = [];

/** A child that says what happens to it, and ends as `argv` tells it: politely, deaf to SIGTERM, or at once. */
const standIn = `
  const manner = process.argv[2];
  if (manner === 'exit') process.exit(Number(process.argv[3]));
  process.on('SIGTERM', () => {
    console.log('asked to end');
    if (manner !== 'deaf') setTimeout(() => { console.log('ends'); process.exit(0); }, 30);
  });
  setInterval(() => {}, 1000);
  console.log('up ' + process.pid);
`;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'supervisor-'));
  writeFileSync(join(folder, 'child.mjs'), standIn);
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  supervisor?.killAll();
  lines = [];
});

const child = (name: string, manner: string[] = [], more: Partial<ProcessSpec> = {}): ProcessSpec => {
  return { name, argv: [join(folder, 'child.mjs'), ...manner], ...more };
};

function run(specs: ProcessSpec[], options: Partial<SuperviseOptions> = {}): Supervisor {
  supervisor = supervise(specs, {
    log: (line, from) => lines.push(`${from}: ${line}`),
    firstDelayMs: 20,
    longestDelayMs: 80,
    ...options,
  });
  return supervisor;
}

const seen = (text: string | RegExp) => lines.filter((line) => line.match(text)).length;
const until = (condition: () => void) => vi.waitFor(condition, { timeout: 15_000, interval: 10 });
const untilSeen = (text: string | RegExp, times = 1) =>
  until(() => expect(lines.join('\n')).toSatisfy(() => seen(text) >= times));

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('what was killed comes back, each time after twice the wait, up to the longest', async () => {
  const { processes, kill } = run([child('jobs')]);
  for (let round = 1; round <= 4; round++) {
    await untilSeen('jobs: up', round);
    kill('jobs', 'SIGKILL');
    await untilSeen('was ended by SIGKILL', round);
  }
  await untilSeen('jobs: up', 5);
  const waits = lines.flatMap((line) => line.match(/in ([\d.]+) s/)?.slice(1) ?? []).map(Number);
  expect(waits).toEqual([0.02, 0.04, 0.08, 0.08]);
  expect(processes).toHaveLength(1);
  expect(supervisor?.processes[0]).toMatchObject({ name: 'jobs', state: 'running', restarts: 4 });
}, 30_000);

test('a healthy life makes the wait short again', async () => {
  const { kill } = run([child('jobs')], { healthyAfterMs: 0 });
  for (let round = 1; round <= 3; round++) {
    await untilSeen('jobs: up', round);
    kill('jobs', 'SIGKILL');
    await untilSeen('starting it again in 0.02 s', round);
  }
}, 30_000);

test('what was not to be restarted, or cannot be helped by it, stays down', async () => {
  const { waitHealthy } = run([
    child('done', ['exit', '0'], { restart: false }),
    child('misconfigured', ['exit', '2']),
  ]);
  await expect(waitHealthy('misconfigured', 'http://127.0.0.1:1')).rejects.toThrow('ended during its start');
  await until(() => {
    expect(supervisor?.processes.map(({ state, restarts }) => ({ state, restarts }))).toEqual([
      { state: 'ended', restarts: 0 },
      { state: 'failed', restarts: 0 },
    ]);
  });
  expect(seen('misconfigured: exited with code 2, and is not started again')).toBe(1);
});

test('stop ends the group started last first, and waits for it before the next', async () => {
  const { stop } = run([
    child('jobs', [], { group: 'services' }),
    child('payments', [], { group: 'services' }),
    child('gateway', [], { group: 'gateway' }),
    child('miner', [], { group: 'clients' }),
  ]);
  await untilSeen(': up', 4);
  await Promise.all([stop(), stop()]);
  const order = (text: string) =>
    lines.filter((line) => line.endsWith(text)).map((line) => line.split(':')[0]);
  await until(() => expect(order('ends')).toHaveLength(4));
  expect(order('asked to end').slice(0, 2)).toEqual(['miner', 'gateway']);
  expect(lines.indexOf('gateway: ends')).toBeLessThan(
    lines.findIndex((l) => /(jobs|payments): asked to end/.test(l)),
  );
  expect(supervisor?.processes.map(({ state }) => state)).toEqual(['ended', 'ended', 'ended', 'ended']);
});

test('what does not listen to SIGTERM is killed after the grace period', async () => {
  const { stop } = run([child('stubborn', ['deaf'])], { graceMs: 200 });
  await untilSeen('stubborn: up');
  const pid = supervisor?.processes[0]?.pid as number;
  await stop();
  expect(seen('did not end within 0.2 s')).toBe(1);
  expect(isAlive(pid)).toBe(false);
});

test('a supervisor killed with -9 leaves no child behind', async () => {
  const script = join(folder, 'supervisor.mjs');
  const program = [child('one'), child('two', ['deaf'])];
  writeFileSync(
    script,
    `import { supervise } from ${JSON.stringify(join(import.meta.dirname, 'supervisor.ts'))};
     supervise(${JSON.stringify(program)}, { log: (line) => console.log(line) });`,
  );
  const parent = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const pids: number[] = [];
  createInterface({ input: parent.stdout }).on('line', (line) => {
    const pid = line.match(/^up (\d+)/)?.[1];
    if (pid) pids.push(Number(pid));
  });
  await until(() => expect(pids).toHaveLength(2));
  parent.kill('SIGKILL');
  await until(() => expect(pids.filter(isAlive)).toEqual([]));
}, 30_000);

test('Ctrl-C drains and exits 0; the second one does not wait', async () => {
  const script = join(folder, 'signals.mjs');
  writeFileSync(
    script,
    `import { drainOnSignals, supervise } from ${JSON.stringify(join(import.meta.dirname, 'supervisor.ts'))};
     const specs = [${JSON.stringify(child('child'))}];
     specs[0].argv.push(process.argv[2]);
     drainOnSignals(supervise(specs, { log: (line) => console.log(line) }));`,
  );
  const interrupt = async (manner: string) => {
    const parent = spawn(process.execPath, [script, manner], { stdio: ['ignore', 'pipe', 'inherit'] });
    const said: string[] = [];
    createInterface({ input: parent.stdout }).on('line', (line) => said.push(line));
    const exit = new Promise<number | null>((done) => parent.once('exit', done));
    await until(() => expect(said.join()).toMatch(/up \d+/));
    parent.kill('SIGINT');
    await until(() => expect(said).toContain('asked to end'));
    return { parent, exit, pid: Number(said.join().match(/up (\d+)/)?.[1]) };
  };
  const polite = await interrupt('polite');
  expect(await polite.exit).toBe(0);

  const deaf = await interrupt('deaf');
  const again = setInterval(() => deaf.parent.kill('SIGINT'), 100);
  expect(await deaf.exit).toBe(130);
  clearInterval(again);
  await until(() => expect(isAlive(deaf.pid)).toBe(false));
}, 30_000);

test('waitHealthy answers once the URL does, and else says what was wrong', async () => {
  const port = await freePort();
  const server = `
    import { createServer } from 'node:http';
    createServer((request, response) => {
      response.statusCode = request.url === '/health' ? 200 : 503;
      response.end('redis: down');
    }).listen(${port}, '127.0.0.1');`;
  writeFileSync(join(folder, 'server.mjs'), server);
  const { waitHealthy } = run([{ name: 'web', argv: [join(folder, 'server.mjs')] }]);
  await waitHealthy('web', `http://127.0.0.1:${port}/health`);
  const notReady = waitHealthy('web', `http://127.0.0.1:${port}/health/ready`, 300);
  await expect(notReady).rejects.toThrow('not healthy after 0.3 s: 503 redis: down');
});
