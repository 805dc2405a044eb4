import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { type Client, createClient, routes } from '@aitbc/contracts';
import { freePort } from '@aitbc/testing';
import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose';
import { getContainerRuntimeClient } from 'testcontainers';
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from 'vitest';
import { persist } from './careful.ts';
import { must, passes } from './coordinator.ts';

const root = resolve(import.meta.dirname, '..');
const project = `aitbc-test-${process.pid}`;
const { jobs, payments, gateway, miners } = routes;
const SERVICES = [
  'gateway',
  'jobs',
  'dispatcher',
  'miners',
  'market',
  'payments',
  'governance',
  'redis',
  'miner',
];
/** The image is built the first time: its base and the packages have to come from somewhere. */
const BUILD_MS = 600_000;

/** A reason, in words, why there is nothing to run the containers with. */
const whyNot = async (): Promise<string | undefined> => {
  const engine = await getContainerRuntimeClient().catch(() => undefined);
  if (engine === undefined) return 'no Docker engine answers';
  const { status } = spawnSync('docker', ['compose', 'version'], { timeout: 10_000 });
  return status === 0 ? undefined : 'docker has no compose';
};
const reason = await whyNot();

/** Neither the keys of whoever runs the tests nor a `.env` of theirs: a development stack, as on a clean clone. */
const environment: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => /^(?:PATH|HOME|DOCKER_.*|BUILDKIT_.*)$/.test(name)),
);
const run = (command: string, args: string[]) =>
  promisify(execFile)(command, args, { cwd: root, env: environment, maxBuffer: 64 * 1024 * 1024 });
const compose = async (...args: string[]): Promise<string> => {
  const files = [
    '--project-name',
    project,
    '--file',
    join(root, 'docker-compose.yml'),
    '--env-file',
    '/dev/null',
  ];
  const { stdout } = await run('docker', ['compose', ...files, '--profile', 'demo', ...args]);
  return stdout;
};

interface Container {
  readonly Name: string;
  readonly Service: string;
  readonly State: string;
  readonly Health: string;
}
const containers = async (...services: string[]): Promise<Container[]> => {
  const lines = (await compose('ps', '--all', '--format', 'json', ...services)).trim().split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Container);
};

describe.skipIf(reason !== undefined)(
  `the compose stack${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  { timeout: 120_000 },
  () => {
    let url: string;
    let client: Client;

    beforeAll(async () => {
      environment.API_PORT = String(await freePort([], '0.0.0.0'));
      environment.RATE_LIMIT_CLIENT_PER_MINUTE = '1000000';
      environment.RATE_LIMIT_USER_PER_MINUTE = '1000000';
      url = `http://127.0.0.1:${environment.API_PORT}`;
      client = createClient(url, { 'x-api-key': 'ak_dev_client_known_to_everybody' });
      const startedAt = performance.now();
      await compose('build');
      const builtAt = performance.now();
      await compose('up', '--detach', '--wait').catch(async (error) => {
        throw new Error(`${error.message}\n${await compose('logs', '--tail', '20')}`);
      });
      const seconds = (ms: number) => `${(ms / 1_000).toFixed(0)} s`;
      console.log(
        `compose: built in ${seconds(builtAt - startedAt)}, all healthy ${seconds(performance.now() - builtAt)} later`,
      );
    }, BUILD_MS);
    afterAll(async () => {
      await compose('down', '--volumes', '--remove-orphans', '--timeout', '5');
    }, 120_000);

    const tellOnFailure = () =>
      onTestFailed(async () => console.log(await compose('logs', '--tail', '30', '--no-color')));

    const submit = async (count: number): Promise<string[]> => {
      const job = {
        job_type: 'language_detection',
        parameters: { text: 'Wo ist der Bahnhof?' },
        payment_amount: 0.01,
        // What is lost on the way to the miner comes back after this.
        timeout_seconds: 8,
        max_attempts: 10,
      };
      const body = { jobs: Array.from({ length: count }, () => job) };
      const idempotencyKey = `batch-${Math.random()}`;
      const answer = await persist((signal) =>
        client.call(jobs.submitBatch, { body, signal, idempotencyKey }),
      );
      return must(answer).items.map((item) => item.job?.id as string);
    };
    const settled = (ids: readonly string[], withinMs = 60_000) =>
      passes(
        async () => {
          for (const job_id of ids) {
            const job = must(
              await persist((signal) => client.call(jobs.get, { params: { job_id }, signal })),
            );
            expect(job).toMatchObject({ status: 'completed', payment_status: 'released' });
          }
        },
        { withinMs, everyMs: 250 },
      );
    /** One receipt each, which a stranger can check. */
    const receiptsAreRight = async (ids: readonly string[]) => {
      const jwks = must(await client.call(jobs.jwks, {})) as unknown as JSONWebKeySet;
      for (const job_id of ids) {
        const { items } = must(await client.call(jobs.receipts, { params: { job_id } }));
        expect(items).toHaveLength(1);
        const { payload } = await compactVerify(items[0]?.proof as string, createLocalJWKSet(jwks));
        expect(JSON.parse(new TextDecoder().decode(payload))).toMatchObject({ job_id, price: 0.01 });
      }
    };

    test('comes up healthy, all of it', async () => {
      tellOnFailure();
      const all = await containers();
      expect(all.map(({ Service, State, Health }) => `${Service} ${State} ${Health}`).sort()).toEqual(
        SERVICES.map((name) => `${name} running healthy`).sort(),
      );
      const ready = (await (await fetch(`${url}/health/ready`)).json()) as { status: string };
      expect(ready.status).toBe('ok');
      const { items } = must(await client.call(miners.list, { query: { status: 'active' } }));
      expect(items).toHaveLength(1);
      const published = (await compose('ps', '--format', '{{.Service}} {{.Ports}}')).split('\n');
      expect(published.filter((line) => line.includes('->')).map((line) => line.split(' ')[0])).toEqual([
        'gateway',
      ]);
    });

    test('passes the tour of the README, word for word', async () => {
      tellOnFailure();
      const readme = readFileSync(join(root, 'README.md'), 'utf8');
      const [, tour] = /<!-- curl tour -->([\s\S]*?)<!-- \/curl tour -->/.exec(readme) ?? [];
      const blocks = [...(tour ?? '').matchAll(/```bash\n([\s\S]*?)```/g)].map(
        ([, block]) => block as string,
      );
      expect(blocks.length).toBeGreaterThan(0);
      const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', blocks.join('\n')]);
      expect(stdout).toContain('"valid": true');
      expect(stdout).toContain('"status": "released"');
    });

    test('runs a paid job to its receipt and its settlement', async () => {
      tellOnFailure();
      const { user_id } = must(await client.call(gateway.me, {}));
      const admin = createClient(url, { 'x-api-key': 'ak_dev_admin_known_to_everybody' });
      const credit = { params: { account_id: user_id }, body: { amount: 10, reason: 'to pay with' } };
      await passes(async () => {
        must(await admin.call(payments.credit, { ...credit, idempotencyKey: 'funds' }));
      });
      const ids = await submit(3);
      await settled(ids);
      await receiptsAreRight(ids);
    });

    test('loses nothing when a service is killed and started again', async () => {
      tellOnFailure();
      const before = await submit(10);
      await compose('kill', '--signal', 'SIGKILL', 'jobs');
      const refused = await fetch(`${url}/v1/client/jobs?limit=1`, {
        headers: { 'x-api-key': 'ak_dev_client_known_to_everybody' },
      });
      expect([502, 503]).toContain(refused.status);
      expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
      await refused.arrayBuffer();
      const during = submit(5);
      await compose('start', 'jobs');
      const ids = [...before, ...(await during)];
      await settled(ids);
      await receiptsAreRight(ids);
    });

    test('comes back by itself when a process ends', async () => {
      tellOnFailure();
      const id = (await compose('ps', '--quiet', 'payments')).trim();
      const restarts = async () =>
        Number((await run('docker', ['inspect', '--format', '{{.RestartCount}}', id])).stdout);
      expect(await restarts()).toBe(0);
      const ids = await submit(3);
      await compose('exec', '--no-TTY', 'payments', 'node', '-e', 'process.kill(1, "SIGTERM")');
      await passes(async () => expect(await restarts()).toBe(1), { withinMs: 30_000 });
      await settled(ids);
    });

    test('works on when Redis is restarted', async () => {
      tellOnFailure();
      const before = await submit(10);
      const restarting = compose('restart', 'redis');
      // Intake does not need Redis.
      const during = await submit(5);
      await restarting;
      const ids = [...before, ...during, ...(await submit(5))];
      await settled(ids);
      await receiptsAreRight(ids);
    });

    test('takes four dispatch workers, and loses nothing when two of them die', async () => {
      tellOnFailure();
      await compose('up', '--detach', '--wait', '--no-recreate', '--scale', 'dispatcher=4');
      const workers = await containers('dispatcher');
      expect(workers.map(({ State }) => State)).toEqual(['running', 'running', 'running', 'running']);
      const ids = await submit(30);
      await run('docker', ['kill', ...workers.slice(0, 2).map(({ Name }) => Name)]);
      ids.push(...(await submit(10)));
      const killedAt = performance.now();
      await settled(ids);
      console.log(
        `compose: all settled ${((performance.now() - killedAt) / 1_000).toFixed(1)} s after two of four died`,
      );
      await receiptsAreRight(ids);
    });

    test('stops within ten seconds, with what is in flight answered', async () => {
      tellOnFailure();
      const body = {
        job_type: 'language_detection',
        parameters: { text: 'x' },
        constraints: { region: 'nowhere' },
      };
      const { id } = must(await client.call(jobs.submit, { body }));
      const inFlight = client
        .call(jobs.status, { params: { job_id: id }, query: { wait_seconds: 25 } })
        .then(({ status }) => status, String);
      const startedAt = performance.now();
      await compose('stop', 'gateway', 'jobs', 'payments');
      const tookMs = performance.now() - startedAt;
      // A long-poll cannot be waited for; it is told to come back.
      expect([200, 503]).toContain(await inFlight);
      const stopped = await containers('gateway', 'jobs', 'payments');
      expect(stopped.map(({ State }) => State)).toEqual(['exited', 'exited', 'exited']);
      const codes = await compose('ps', '--all', '--format', '{{.ExitCode}}', 'gateway', 'jobs', 'payments');
      expect(codes.trim().split('\n')).toEqual(['0', '0', '0']);
      expect(tookMs).toBeLessThan(12_000);
    });
  },
);
