import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, realpathSync, renameSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { openStore, schemaUrl } from '@aitbc/chassis';
import { routes } from '@aitbc/contracts';
import {
  hasPostgres,
  type PostgresServer,
  postgresPrograms,
  scratchDirectory,
  startPostgres,
} from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifyLedger } from '../scripts/verify.ts';
import { migrations as gatewayMigrations } from '../services/gateway/migrations/index.ts';
import { every, nothingPlayed, playMiner, repeated } from './careful.ts';
import {
  accountOf,
  type Coordinator,
  embedding,
  must,
  passes,
  registerMiner,
  STARTING_MS,
  startCoordinator,
  takeWork,
} from './coordinator.ts';

// A system that has seen some work moves to PostgreSQL and back. What its users can see is written down before, and is
// the same after each way.

const { jobs, payments, market, governance } = routes;

let server: PostgresServer;
let dataDir: string;
let database: string;
let coordinator: Coordinator | undefined;

const start = async (postgres: string): Promise<Coordinator> => {
  coordinator = await startCoordinator({ dataDir, ownBroker: true, env: { POSTGRES_URL: postgres } });
  return coordinator;
};
const stop = async (): Promise<void> => {
  await coordinator?.stop();
  coordinator = undefined;
};

const script = resolve(import.meta.dirname, '..', 'scripts', 'move.ts');
const begin = (...args: string[]): { child: ChildProcess; said: () => string } => {
  const child = spawn(process.execPath, [script, ...args], { env: { ...process.env, DATABASE: database } });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text: Buffer) => {
      said += text;
    });
  return { child, said: () => said };
};
const move = async (...args: string[]): Promise<string> => {
  const { child, said } = begin(...args);
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`ended with ${code}: ${said()}`);
  // A password is in no line of it.
  expect(said()).not.toContain(new URL(database).password);
  return said();
};
const run = async (program: string, args: string[]): Promise<string> =>
  (await promisify(execFile)(program, args)).stdout;
/** Not all of PostgreSQL's programs are linked from the folder that is on the PATH. */
const pg = (name: string): string =>
  join(dirname(realpathSync(join(postgresPrograms as string, 'initdb'))), name);
const files = (): string => `sqlite:///${dataDir}/`;
const there = () => move('--from', files(), '--to', 'env:DATABASE');
const back = () => move('--from', 'env:DATABASE', '--to', files());

/** Plays the miner until `done` holds. */
const working = async (system: Coordinator, minerId: string, done: () => Promise<void>): Promise<void> => {
  const leaving = new AbortController();
  const playing = playMiner({
    caller: system.miner,
    minerId,
    maxJobs: 4,
    work: (items) => items.map(({ parameters }) => parameters),
    played: nothingPlayed(),
    leaving: leaving.signal,
  });
  await passes(done, { withinMs: 30_000, everyMs: 100 });
  leaving.abort();
  await playing;
};
const submit = async (system: Coordinator, input: string, idempotencyKey?: string) =>
  must(
    await system.client.call(jobs.submit, {
      body: embedding(input, { payment_amount: 1, max_attempts: 1 }),
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    }),
  );
const isPaid = async (system: Coordinator, job_id: string): Promise<void> => {
  const job = must(await system.client.call(jobs.get, { params: { job_id } }));
  expect(job).toMatchObject({ status: 'completed', payment_status: 'released' });
};

/** What users can see. */
const seen = async (system: Coordinator) => {
  const { client, anyone } = system;
  const user_id = await accountOf(client);
  return {
    balance: must(await client.call(payments.balance, { params: { user_id } })),
    jobs: (
      await every(async (cursor) => must(await client.call(jobs.list, { query: { limit: 100, ...cursor } })))
    ).map(({ id, status, payment_status }) => ({ id, status, payment_status })),
    receipts: await every(async (cursor) =>
      must(await anyone.call(jobs.publicReceipts, { query: { limit: 100, ...cursor } })),
    ),
    transfers: await every(async (cursor) =>
      must(await anyone.call(payments.transactions, { query: { limit: 100, ...cursor } })),
    ),
    blocks: must(await anyone.call(payments.blocks, { query: { limit: 100 } })).items,
    proposals: must(await anyone.call(governance.list, { query: {} })).items.map(({ id, status, title }) => ({
      id,
      status,
      title,
    })),
    orders: must(await client.call(market.orders, { query: {} })).items.map(({ id, status, amount }) => ({
      id,
      status,
      amount,
    })),
  };
};
type Seen = Awaited<ReturnType<typeof seen>>;
const expectSealed = ({ transfers }: Seen): void =>
  expect(transfers.filter(({ block_height }) => block_height === null)).toEqual([]);

let before: Seen;
let minerId: string;
let remembered: string;
let waiting: string;
let page: { cursor: string; next: string[] };
const nextPage = async (system: Coordinator, cursor: string): Promise<string[]> =>
  must(await system.client.call(jobs.list, { query: { limit: 2, cursor } })).items.map(({ id }) => id);

/** Makes a system with something of everything in it, and stops it. */
const makeBusy = async (): Promise<void> => {
  const system = await start('');
  const { client, admin, miner } = system;
  const account_id = await accountOf(client);
  const voter = await system.newAccount(['vote']);
  await passes(async () => {
    for (const id of [account_id, voter.id])
      must(
        await admin.call(payments.credit, {
          params: { account_id: id },
          body: { amount: 100, reason: 'to pay with' },
          idempotencyKey: `funds of ${id}`,
        }),
      );
  });
  minerId = (await registerMiner(miner)).id;
  const done = [await submit(system, 'done \u{1F680}\n\\', 'remembered'), await submit(system, 'done too')];
  remembered = (done[0] as { id: string }).id;
  await working(system, minerId, async () => {
    for (const { id } of done) await isPaid(system, id);
  });
  const failing = await submit(system, 'fails');
  const [work] = await takeWork(miner, minerId);
  must(
    await miner.call(jobs.result, {
      body: {
        job_id: failing.id,
        lease: work?.lease as string,
        status: 'failed',
        error: { code: 'OUT_OF_MEMORY', message: 'needs 80 GB' },
      },
    }),
  );
  const cancelled = await submit(system, 'is cancelled');
  must(await client.call(jobs.cancel, { params: { job_id: cancelled.id } }));
  const gpu = must(
    await miner.call(market.register, {
      body: { model: 'RTX 4090', memory_gb: 24, region: 'eu', price_per_hour: 6 },
    }),
  );
  await passes(async () => {
    must(await client.call(market.book, { params: { gpu_id: gpu.id }, body: { duration_hours: 2 } }));
  });
  await passes(async () => {
    must(
      await voter.caller.call(governance.propose, {
        body: {
          title: 'Raise the platform fee',
          description:
            'The treasury gets half of each fee, and it is empty. Five percent fill it in a season.',
          type: 'parameter_change',
          target: { parameter: 'platform_fee_basis_points', value: 500 },
          voting_period_days: 3,
        },
      }),
    );
  });
  waiting = (await submit(system, 'waits')).id;
  // All has come to rest: nothing of it is to change before it is looked at again.
  await passes(async () => {
    const found = await seen(system);
    expect(found.jobs.find(({ id }) => id === waiting)).toMatchObject({
      status: 'pending',
      payment_status: 'escrowed',
    });
    expect(found.jobs.find(({ id }) => id === failing.id)?.payment_status).toBe('refunded');
    expect(found.jobs.find(({ id }) => id === cancelled.id)?.payment_status).toBe('refunded');
    expectSealed(found);
    before = found;
  });
  const first = must(await client.call(jobs.list, { query: { limit: 2 } }));
  page = {
    cursor: first.next_cursor as string,
    next: await nextPage(system, first.next_cursor as string),
  };
  await stop();
};

const expectAsBefore = async (system: Coordinator): Promise<void> => {
  await passes(async () => expect(await seen(system)).toEqual(before));
  expect(await nextPage(system, page.cursor)).toEqual(page.next);
  expect((await submit(system, 'done \u{1F680}\n\\', 'remembered')).id).toBe(remembered);
  expect((await verifyLedger({ url: system.url, from: 0 })).wrong).toBeNull();
};

describe.skipIf(!hasPostgres)('a system moves to PostgreSQL and back', { timeout: 240_000 }, () => {
  beforeAll(async () => {
    server = await startPostgres();
    database = await server.database();
    dataDir = scratchDirectory();
    await makeBusy();
  }, STARTING_MS);
  afterAll(async () => {
    await stop();
    await server?.stop();
  });

  test('killed in the middle, nothing is lost, and the same command begins anew', async () => {
    const { child, said } = begin('--from', files(), '--to', 'env:DATABASE');
    const closed = once(child, 'close');
    await passes(async () => expect(said()).toMatch(/copying (jobs|miners|market|payments)/), {
      withinMs: 60_000,
      everyMs: 5,
    }).finally(() => child.kill('SIGKILL'));
    await closed;
    const opened = openStore({
      url: schemaUrl(database, 'gateway'),
      service: 'gateway',
      migrations: gatewayMigrations,
    });
    await expect(opened).rejects.toThrow('was not completed');
  });

  test('there: all is as it was, and what waited is done', async () => {
    const report = await there();
    expect(report).toMatch(/job +5 rows/);
    expect(report).toContain('The ledger was audited');
    const system = await start(database);
    await expectAsBefore(system);
    const after = await submit(system, 'on the other engine');
    await working(system, minerId, async () => {
      await isPaid(system, waiting);
      await isPaid(system, after.id);
    });
    await passes(async () => {
      const found = await seen(system);
      expectSealed(found);
      expect(found.jobs).toHaveLength(before.jobs.length + 1);
      before = found;
    });
    await stop();
  });

  test('a schema that was put back from an older dump speaks under a new name: nothing is lost or paid twice', async () => {
    const dump = join(scratchDirectory(), 'payments.dump');
    const first = await start(database);
    await run(pg('pg_dump'), ['-Fc', '-n', 'payments', '-f', dump, database]);
    const forgotten = await submit(first, 'after the dump');
    await working(first, minerId, () => isPaid(first, forgotten.id));
    await stop();

    await server.sql('DROP SCHEMA payments CASCADE', new URL(database).pathname.slice(1));
    await run(pg('pg_restore'), ['--exit-on-error', '-d', database, dump]);
    const restore = resolve(import.meta.dirname, '..', 'scripts', 'restore.ts');
    const said = await run(process.execPath, [restore, '--database', database, '--service', 'payments']);
    expect(said).toMatch(/payments +speaks as payments-[0-9a-f]{12}, \d+ messages/);

    const system = await start(database);
    const next = await submit(system, 'after the restore');
    await working(system, minerId, () => isPaid(system, next.id));
    const found = await seen(system);
    const released = found.transfers
      .filter(({ kind }) => kind === 'release')
      .map(({ reference }) => reference);
    // Of the four that were done before the dump, and the new one: the one in between is forgotten, with its money.
    expect(released).toHaveLength(5);
    expect(repeated(released)).toEqual([]);
    expect(found.balance.balance).toBe(before.balance.balance - 1);
    expect((await verifyLedger({ url: system.url, from: 0 })).wrong).toBeNull();
    await passes(async () => {
      const now = await seen(system);
      expectSealed(now);
      before = now;
    });
    await stop();
  });

  test('back: all is as it was there', async () => {
    await expect(back()).rejects.toThrow('still holds what left it');
    const old = join(dataDir, 'old');
    mkdirSync(old);
    for (const name of readdirSync(dataDir).filter((file) => file.endsWith('.db')))
      renameSync(join(dataDir, name), join(old, name));
    await back();
    const system = await start('');
    page.next = await nextPage(system, page.cursor);
    await expectAsBefore(system);
    const last = await submit(system, 'in files again');
    await working(system, minerId, () => isPaid(system, last.id));
  });
});
