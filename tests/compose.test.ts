import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { type Client, createClient, routes } from '@aitbc/contracts';
import { freePort } from '@aitbc/testing';
import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose';
import {
  type ContainerRuntimeClient,
  DockerComposeEnvironment,
  getContainerRuntimeClient,
  type StartedDockerComposeEnvironment,
} from 'testcontainers';
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
  'webhooks',
  'miners',
  'market',
  'payments',
  'governance',
  'redis',
  'miner',
];
/** The image is built the first time: its base and the packages have to come from somewhere. */
const BUILD_MS = 600_000;

const engine = await getContainerRuntimeClient().catch(() => undefined);
/** A reason, in words, why there is nothing to run the containers with. */
const whyNot = (): string | undefined => {
  if (engine === undefined) return 'no Docker engine answers';
  const { status } = spawnSync('docker', ['compose', 'version'], { timeout: 10_000 });
  return status === 0 ? undefined : 'docker has no compose';
};
const reason = whyNot();

const run = (command: string, args: string[], env = process.env) =>
  promisify(execFile)(command, args, { cwd: root, env, maxBuffer: 64 * 1024 * 1024 });

/**
 * What compose is told. Testcontainers hands the whole environment of the tests to it (NODE_ENV=test among it), so
 * every name that the file reads is emptied, which means its default: a development stack, as on a clean clone.
 */
const environment: Record<string, string> = Object.fromEntries(
  [
    'docker-compose.yml',
    'deploy/compose/development/gateway.env',
    'deploy/compose/development/miner.env',
  ].flatMap((file) =>
    Array.from(readFileSync(join(root, file), 'utf8').matchAll(/\$\{(\w+)/g), ([, name]) => [name, '']),
  ),
);
/** Brings the stack to where it is all healthy; again, with other options, it changes the one that runs. */
const up = (...options: string[]): Promise<StartedDockerComposeEnvironment> =>
  new DockerComposeEnvironment(root, 'docker-compose.yml')
    .withProjectName(project)
    .withEnvironment(environment)
    .withEnvironmentFile('/dev/null')
    .withProfiles('demo')
    // Its reaper is an image from a registry, which may be out of reach; afterAll cleans up.
    .withAutoCleanup(false)
    .withClientOptions({ commandOptions: ['--wait', ...options] })
    .up();

describe.skipIf(reason !== undefined)(
  `the compose stack${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  { timeout: 120_000 },
  () => {
    let stack: StartedDockerComposeEnvironment;
    let url: string;
    let client: Client;

    beforeAll(async () => {
      environment.API_PORT = String(await freePort([], '0.0.0.0'));
      environment.RATE_LIMIT_CLIENT_PER_MINUTE = '1000000';
      environment.RATE_LIMIT_USER_PER_MINUTE = '1000000';
      url = `http://127.0.0.1:${environment.API_PORT}`;
      client = createClient(url, { 'x-api-key': 'ak_dev_client_known_to_everybody' });
      const startedAt = performance.now();
      stack = await up('--build');
      console.log(
        `compose: built and healthy after ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`,
      );
    }, BUILD_MS);
    afterAll(async () => {
      await stack?.down({ timeout: 5_000 });
    }, 120_000);

    /** To kill, start and inspect. The handle's own `stop` removes the container and its volumes: nothing to start again. */
    const container = (name: string) =>
      (engine as ContainerRuntimeClient).container.getById(stack.getContainer(name).getId());
    const state = async (name: string) => (await container(name).inspect()).State;
    const tellOnFailure = () =>
      onTestFailed(async () => {
        const logs = ['compose', '--project-name', project, 'logs', '--tail', '30', '--no-color'];
        console.log((await run('docker', logs)).stdout);
      });

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
      const healthy = SERVICES.map(async (name) => [name, (await state(`${name}-1`)).Health?.Status]);
      expect(await Promise.all(healthy)).toEqual(SERVICES.map((name) => [name, 'healthy']));
      const ready = (await (await fetch(`${url}/health/ready`)).json()) as { status: string };
      expect(ready.status).toBe('ok');
      const { items } = must(await client.call(miners.list, { query: { status: 'active' } }));
      expect(items).toHaveLength(1);
      const published = SERVICES.map(async (name) => {
        const { PortBindings } = (await container(`${name}-1`).inspect()).HostConfig;
        return Object.keys(PortBindings as object).map((port) => `${name} ${port}`);
      });
      expect((await Promise.all(published)).flat()).toEqual(['gateway 8000/tcp']);
    });

    test('passes the tour of the README, word for word', async () => {
      tellOnFailure();
      const readme = readFileSync(join(root, 'README.md'), 'utf8');
      const [, tour] = /<!-- curl tour -->([\s\S]*?)<!-- \/curl tour -->/.exec(readme) ?? [];
      const blocks = [...(tour ?? '').matchAll(/```bash\n([\s\S]*?)```/g)].map(
        ([, block]) => block as string,
      );
      expect(blocks.length).toBeGreaterThan(0);
      const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', blocks.join('\n')], {
        ...process.env,
        API_PORT: environment.API_PORT,
      });
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
      await container('jobs-1').kill({ signal: 'SIGKILL' });
      const refused = await fetch(`${url}/v1/client/jobs?limit=1`, {
        headers: { 'x-api-key': 'ak_dev_client_known_to_everybody' },
      });
      expect([502, 503]).toContain(refused.status);
      expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
      await refused.arrayBuffer();
      const during = submit(5);
      await container('jobs-1').start();
      const ids = [...before, ...(await during)];
      await settled(ids);
      await receiptsAreRight(ids);
    });

    test('comes back by itself when a process ends', async () => {
      tellOnFailure();
      const restarts = async () => (await container('payments-1').inspect()).RestartCount;
      expect(await restarts()).toBe(0);
      const ids = await submit(3);
      await stack.getContainer('payments-1').exec(['node', '-e', 'process.kill(1, "SIGTERM")']);
      await passes(async () => expect(await restarts()).toBe(1), { withinMs: 30_000 });
      await settled(ids);
    });

    test('works on when Redis is restarted', async () => {
      tellOnFailure();
      const before = await submit(10);
      const restarting = stack.getContainer('redis-1').restart({ timeout: 10_000 });
      // Intake does not need Redis.
      const during = await submit(5);
      await restarting;
      const ids = [...before, ...during, ...(await submit(5))];
      await settled(ids);
      await receiptsAreRight(ids);
    });

    test('takes four dispatch workers, and loses nothing when two of them die', async () => {
      tellOnFailure();
      stack = await up('--no-recreate', '--scale', 'dispatcher=4');
      const workers = ['dispatcher-1', 'dispatcher-2', 'dispatcher-3', 'dispatcher-4'];
      for (const name of workers) expect(await state(name)).toMatchObject({ Running: true });
      const ids = await submit(30);
      await Promise.all(workers.slice(0, 2).map((name) => container(name).kill()));
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
      for (const name of ['gateway-1', 'jobs-1', 'payments-1']) await container(name).stop();
      const tookMs = performance.now() - startedAt;
      // A long-poll cannot be waited for; it is told to come back.
      expect([200, 503]).toContain(await inFlight);
      for (const name of ['gateway-1', 'jobs-1', 'payments-1'])
        expect(await state(name)).toMatchObject({ Status: 'exited', ExitCode: 0 });
      expect(tookMs).toBeLessThan(12_000);
    });
  },
);
