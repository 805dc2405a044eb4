import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type PostgresServer, startPostgres } from '../libs/testing/src/postgres.ts';
import { startStack } from '../scripts/stack.ts';
import { batchCycles } from './cycles.ts';
import { call, demand } from './load.ts';
import { cpuMsOf, perJob, watchWork } from './work.ts';

/** Full cycles before anything is measured: until the processes have compiled what they run. */
const WARM_UP_JOBS = 1_000;
/** What follows a job's end is work of the job, too. */
const AFTER_MS = 1_500;

/** Milliseconds of processor time of a server's processes that are there: connections stay open while it is measured. */
const cpuMsOfServer = async (server: PostgresServer | null): Promise<number> => {
  const rows = (await server?.sql('SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()')) ?? [];
  return rows.reduce((sum, { pid }) => sum + cpuMsOf(Number(pid)), 0);
};

const listOf = (figures: ReadonlyMap<string, number>): string =>
  [...figures]
    .sort(([, a], [, b]) => b - a)
    .map(([name, figure]) => `${name} ${figure.toFixed(2)}`)
    .join(', ');

const cyclesWith = async (
  what: string,
  options: { server: PostgresServer | null; processes: number; jobs: number },
): Promise<void> => {
  const { processes, server } = options;
  const dataDir = mkdtempSync(join(tmpdir(), 'bench-scaling-'));
  const stack = await startStack({
    dataDir,
    apiPort: 0,
    demoMiner: false,
    exitOnSignals: true,
    processesOf: { jobs: processes, payments: processes },
    extraEnv: {
      LOG_LEVEL: 'warn',
      POSTGRES_URL: (await server?.database()) ?? '',
      RATE_LIMIT_CLIENT_PER_MINUTE: '1000000',
      RATE_LIMIT_MINER_PER_MINUTE: '1000000',
      RATE_LIMIT_USER_PER_MINUTE: '1000000',
    },
    log: (line, name) => {
      if (/error|"level":[56]0/i.test(line)) console.error(`${name ?? ''} ${line}`);
    },
  });
  try {
    const keys = {
      client: stack.keys.client as string,
      miner: stack.keys.miner as string,
      admin: stack.keys.admin as string,
    };
    const me = demand(await call(stack.url, 'GET', '/v1/users/me', keys.client), 200);
    const body = { amount: 1_000_000, reason: 'bench' };
    const account = me.body.account_id ?? me.body.user_id ?? me.body.id;
    demand(await call(stack.url, 'POST', `/v1/admin/accounts/${account}/credit`, keys.admin, body), 200, 201);
    await batchCycles(stack.url, keys, { jobs: WARM_UP_JOBS });
    const work = await watchWork(stack);
    const [before, serverBefore] = [await work.look(), await cpuMsOfServer(server)];
    const { receiptsPerSecond, releasedPerSecond } = await batchCycles(stack.url, keys, {
      jobs: options.jobs,
    });
    await pause(AFTER_MS);
    const job = perJob(before, await work.look(), options.jobs);
    if (server !== null)
      job.cpuMs.set('postgres', ((await cpuMsOfServer(server)) - serverBefore) / options.jobs);
    work.close();
    const statements = [...job.byKind].map(
      ([service, kinds]) => [service, [...kinds.values()].reduce((sum, n) => sum + n, 0)] as const,
    );
    console.log(
      `${what.padEnd(52)}${receiptsPerSecond.toFixed(0).padStart(8)}/s to receipt${releasedPerSecond.toFixed(0).padStart(8)}/s to released escrow`,
    );
    console.log(`  processor time of a job, ms: ${listOf(job.cpuMs)}`);
    console.log(`  statements of a job: ${listOf(new Map(statements))}\n`);
  } finally {
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
};

/** The same paid work on each engine, and with more processes: each from an empty store, one after the other. */
export const scaling = async ({ jobs }: { jobs: number }): Promise<void> => {
  console.log(
    `${availableParallelism()} cores for everything: the callers, the gateway, all services, Redis and PostgreSQL\n`,
  );
  await cyclesWith('SQLite, 1 process a service', { server: null, processes: 1, jobs });
  const server = await startPostgres();
  try {
    for (const processes of [1, 2])
      await cyclesWith(`PostgreSQL, ${processes} of jobs and of payments`, {
        server,
        processes,
        jobs,
      });
  } finally {
    await server.stop();
  }
};
