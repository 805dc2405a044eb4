import { newId } from '@aitbc/contracts';
import { callerOf, eventually, scratchDirectory, scratchRedis, serviceEnv, someone } from '@aitbc/testing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Running } from './index.ts';
import { type Child, ready, spawnStandIn } from './testing-processes/child.ts';
import { standInRoutes, startStandIn } from './testing-processes/stand-in.ts';

// kill −9 at every step between commit, publish, mark, handle and ack: after a restart, one effect a message.

vi.setConfig({ testTimeout: 120_000 });

const client = someone(['client']);
let directory: string;
let redisUrl: string;
let children: Child[];
let inProcess: Running[];

beforeEach(async () => {
  directory = scratchDirectory();
  redisUrl = await scratchRedis();
  children = [];
  inProcess = [];
});
afterEach(async () => {
  for (const child of children) child.process.kill('SIGKILL');
  await Promise.all(children.map(({ ended }) => ended));
  for (const service of inProcess) await service.stop();
});

const spawn = async (name: 'jobs' | 'payments', more: Record<string, string> = {}): Promise<Child> => {
  const child = await spawnStandIn({ ...serviceEnv(name, directory, redisUrl), STAND_IN: name, ...more });
  children.push(child);
  return child;
};
/** The same from the same file, inside this process: half a second less than a process of its own. */
const start = async (name: 'jobs' | 'payments') => {
  const service = await startStandIn(name, serviceEnv(name, directory, redisUrl), (reason) =>
    expect.fail(reason),
  );
  inProcess.push(service);
  return service;
};
const say = (url: string, job_ids: string[], idempotencyKey?: string) =>
  callerOf(url, client).call(standInRoutes.say, {
    body: { job_ids },
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  });
const counts = async (url: string, name: string): Promise<Record<string, number>> => {
  const reply = await callerOf(url, null).call(standInRoutes.effects, { params: { name } });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body.counts;
};
const unacknowledged = async (url: string) => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^outbox_unacknowledged\{.*\} (\d+)$/m.exec(text)?.[1]);
};
const deadOfKill = [null, 'SIGKILL'];

// `payments` both hears and answers, so each step is met on the way there or back. The second or third time, so
// that something went through before.
const steps = [
  ['jobs', 'relay:before-publish@2'],
  ['jobs', 'relay:after-publish@2'],
  ['jobs', 'relay:before-purge'],
  ['payments', 'inbox:before-commit@3'],
  ['payments', 'inbox:after-commit@2'],
  ['payments', 'relay:after-publish@2'],
] as const;

test.each(steps)('%s killed at %s', async (victim, failpoint) => {
  const other = victim === 'jobs' ? 'payments' : 'jobs';
  const [killed, survivor] = await Promise.all([
    spawn(victim, { FAILPOINT: failpoint }).then(ready),
    start(other),
  ]);
  const jobs = victim === 'jobs' ? killed : survivor;

  const job_ids: string[] = [];
  // Until it dies, and what it answered with 201 must come through.
  await eventually(
    async () => {
      const some = Array.from({ length: 10 }, newId);
      const reply = await say(jobs.url, some).catch(() => undefined);
      if (reply?.status === 201) job_ids.push(...some);
      return killed.process.signalCode !== null || killed.process.exitCode !== null;
    },
    { everyMs: 50, withinMs: 30_000 },
  );
  expect(await killed.ended).toEqual(deadOfKill);
  expect(job_ids.length).toBeGreaterThan(0);

  const again = await start(victim);
  const jobsUrl = victim === 'jobs' ? again.url : survivor.url;
  const paymentsUrl = victim === 'payments' ? again.url : survivor.url;
  await eventually(async () => (await unacknowledged(jobsUrl)) + (await unacknowledged(paymentsUrl)) === 0, {
    withinMs: 20_000,
    everyMs: 100,
  });
  // A request cut off by the kill may have been committed: `said` is what counts.
  const said = await counts(jobsUrl, 'said');
  expect(Object.keys(said)).toEqual(expect.arrayContaining(job_ids));
  expect(new Set(Object.values(said))).toEqual(new Set([1]));
  expect(await counts(paymentsUrl, 'jobs.submitted')).toEqual(said);
  expect(await counts(jobsUrl, 'payments.escrowed')).toEqual(said);
});

test('an Idempotency-Key is known after a kill: the same answer, one effect', async () => {
  const jobs = await ready(await spawn('jobs'));
  const job_ids = [newId()];
  const first = await say(jobs.url, job_ids, 'once');
  expect(first.status).toBe(201);
  jobs.process.kill('SIGKILL');
  expect(await jobs.ended).toEqual(deadOfKill);
  const again = await start('jobs');
  expect(await say(again.url, job_ids, 'once')).toMatchObject({ status: 201, body: first.body });
  expect(await counts(again.url, 'said')).toEqual({ [job_ids[0] as string]: 1 });
});

test('a stop answers the request in flight, takes no new one, and ends with 0', async () => {
  const jobs = await ready(await spawn('jobs'));
  const slow = callerOf(jobs.url, client).call(standInRoutes.slow, { body: { ms: 1_500 } });
  // The request has arrived when another, sent later on its own connection, was answered.
  await counts(jobs.url, 'said');
  const before = performance.now();
  jobs.process.kill('SIGTERM');
  await eventually(async () =>
    fetch(`${jobs.url}/health`, { headers: { connection: 'close' } }).then(
      () => false,
      () => true,
    ),
  );
  expect(await slow).toMatchObject({ status: 200, body: { ok: true } });
  expect([await jobs.ended, jobs.output()]).toEqual([[0, null], '']);
  expect(performance.now() - before).toBeLessThan(10_000);
});

test('a configuration that is not usable: every problem at once, exit code 2', async () => {
  const child = await spawnStandIn({
    REDIS_URL: 'not a url',
    SECRET_KEY: 'short',
    DATABASE_URL: 'mysql://x',
    LOG_LEVEL: 'loud',
    PORT: '99999',
    NODE_ENV: 'production',
    BUSINESS_TIME_SCALE: '10',
  });
  children.push(child);
  expect(await child.ended).toEqual([2, null]);
  for (const name of [
    'REDIS_URL',
    'SECRET_KEY',
    'DATABASE_URL',
    'LOG_LEVEL',
    'PORT',
    'BUSINESS_TIME_SCALE',
  ]) {
    expect(child.output()).toContain(`  ${name}: `);
  }
  // What was given is not repeated: it may be a secret.
  expect(child.output()).not.toContain('short');
  expect(child.output()).not.toMatch(/\n\s+at /);
});

test('a port that is taken ends the start with 1', async () => {
  const jobs = await start('jobs');
  const second = await spawn('payments', { PORT: new URL(jobs.url).port });
  expect(await second.ended).toEqual([1, null]);
  expect(second.output()).toContain('EADDRINUSE');
});
