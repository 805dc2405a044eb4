import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { routes } from '@aitbc/contracts';
import { openByHand, scratchDirectory, sqliteOnly } from '@aitbc/testing';
import { afterEach, beforeEach, expect } from 'vitest';
import { verifyLedger } from '../scripts/verify.ts';
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
} from './coordinator.ts';

const { test } = sqliteOnly('copies of files, and what comes of putting one back');

// An hour-old copy of one service beside newer others: here an hour is a handful of jobs.

const { jobs, payments } = routes;
const PRICE = 1;
const FUNDS = 100;

let folder: string;
let coordinator: Coordinator;
let endPlay: () => Promise<void>;
let backing: ChildProcess | undefined;

const start = async () => {
  coordinator = await startCoordinator({ dataDir: join(folder, 'data'), ownBroker: true });
  const { id: minerId } = await registerMiner(coordinator.miner);
  const leaving = new AbortController();
  const playing = playMiner({
    caller: coordinator.miner,
    minerId,
    maxJobs: 4,
    work: (items) => items.map(({ parameters }) => parameters),
    played: nothingPlayed(),
    leaving: leaving.signal,
  });
  endPlay = async () => {
    leaving.abort();
    await playing;
  };
};
const stop = async () => {
  await endPlay();
  await coordinator.stop();
};

const run = async (script: string, ...args: string[]) => {
  const path = resolve(import.meta.dirname, '..', 'scripts', script);
  const { stdout } = await promisify(execFile)(process.execPath, [path, ...args]);
  return stdout;
};
const backUp = async () => {
  const to = join(folder, 'backups');
  mkdirSync(to, { recursive: true });
  const output = await run('backup.ts', '--data-dir', join(folder, 'data'), '--to', to);
  return { output, copies: join(to, readdirSync(to).sort().at(-1) as string) };
};
const restore = (copies: string, service: string) =>
  run('restore.ts', '--from', copies, '--service', service, '--data-dir', join(folder, 'data'));

/** What a script says, and the code that it ends with. */
const codeOf = async (script: string, ...args: string[]): Promise<{ code: number; said: string }> => {
  const path = resolve(import.meta.dirname, '..', 'scripts', script);
  const child = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      said += chunk;
    });
  const [code] = (await once(child, 'close')) as [number];
  return { code, said };
};
/** Backs up as long as it is let, as an operator's service does. */
const backUpContinuously = () => {
  const to = join(folder, 'live');
  const path = resolve(import.meta.dirname, '..', 'scripts', 'backup.ts');
  const args = ['--continuous', '--data-dir', join(folder, 'data'), '--to', to, '--every', '0.5'];
  const child = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  backing = child;
  let steps = 0;
  child.stdout.on('data', (chunk) => {
    steps += String(chunk).split('\n').length - 1;
  });
  return {
    to,
    steps: () => steps,
    stop: async () => {
      child.kill('SIGTERM');
      return ((await once(child, 'close')) as [number])[0];
    },
  };
};

const credit = async () => {
  const params = { account_id: await accountOf(coordinator.client) };
  const body = { amount: FUNDS, reason: 'to pay with' };
  await passes(async () => {
    must(await coordinator.admin.call(payments.credit, { params, body, idempotencyKey: 'funds' }));
  });
};
const balance = async () => {
  const params = { user_id: await accountOf(coordinator.client) };
  return must(await coordinator.client.call(payments.balance, { params }));
};
/** Submits paid jobs and waits until they are done and the miner has its money. */
const payFor = async (names: string[]): Promise<string[]> => {
  const ids: string[] = [];
  for (const name of names) {
    const body = embedding(name, { payment_amount: PRICE });
    ids.push(must(await coordinator.client.call(jobs.submit, { body })).id);
  }
  await passes(
    async () => {
      for (const job_id of ids) {
        const job = must(await coordinator.client.call(jobs.get, { params: { job_id } }));
        expect(job).toMatchObject({ status: 'completed', payment_status: 'released' });
      }
    },
    { withinMs: 20_000, everyMs: 100 },
  );
  return ids;
};
const transfers = () =>
  every(async (cursor) =>
    must(await coordinator.anyone.call(payments.transactions, { query: { limit: 500, ...cursor } })),
  );
/** Releases by payment: nothing is paid twice. */
const releases = async () =>
  (await transfers()).filter(({ kind }) => kind === 'release').map(({ reference }) => reference);
const missedBy = async (service: string): Promise<number> => {
  const text = await (await fetch(`${coordinator.url}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith('inbox_missed_messages_total') && line.includes(`"${service}"`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
};
const reported = (service: string) =>
  coordinator.said.filter(({ from, line }) => from === service && line.includes('messages were missed'));

beforeEach(async () => {
  folder = scratchDirectory();
  await start();
  await credit();
}, STARTING_MS);
afterEach(async () => {
  backing?.kill('SIGKILL');
  backing = undefined;
  await stop();
});

test('an older payments file beside newer others: the gap is reported, nothing is paid twice, new work flows', {
  timeout: 120_000,
}, async () => {
  await payFor(['before 1', 'before 2', 'before 3']);
  const { output, copies } = await backUp();
  const [manifest, ...files] = readdirSync(copies).sort(
    (a, b) => Number(a.endsWith('.db')) - Number(b.endsWith('.db')) || (a < b ? -1 : 1),
  );
  expect(manifest).toBe('manifest.json');
  expect(files).toEqual(
    ['gateway', 'governance', 'jobs', 'market', 'miners', 'payments'].map((name) => `${name}.db`),
  );
  for (const file of files) expect(output).toMatch(new RegExp(`${file} +\\d+\\.\\d MiB, verified`));

  const lost = await payFor(['after 1', 'after 2']);
  expect((await balance()).available).toBe(FUNDS - 5 * PRICE);
  // Restored while it runs would be one file under two writers.
  await expect(restore(copies, 'payments')).rejects.toThrow('stop it first');
  await stop();
  expect(await restore(copies, 'payments')).toContain('restored');
  await start();

  await passes(async () => expect(await missedBy('payments')).toBeGreaterThan(0));
  expect(reported('payments').length).toBeGreaterThan(0);
  // The jobs that the copy has not heard of are done; their money is where it was when the copy was made.
  for (const job_id of lost) {
    const job = must(await coordinator.client.call(jobs.get, { params: { job_id } }));
    expect(job.status).toBe('completed');
  }
  expect(await balance()).toMatchObject({ available: FUNDS - 3 * PRICE, held: 0 });

  await payFor(['new 1', 'new 2', 'new 3']);
  expect(await balance()).toMatchObject({ available: FUNDS - 6 * PRICE, held: 0 });
  const paid = await releases();
  expect(paid).toHaveLength(6);
  expect(repeated(paid)).toEqual([]);
  expect((await verifyLedger({ url: coordinator.url, from: 0 })).wrong).toBeNull();
});

test('an older governance file beside newer others: the blocks it forgot are told again, and it counts votes by them', {
  timeout: 120_000,
}, async () => {
  const { payments: ledger, governance } = routes;
  const user_id = await accountOf(coordinator.client);
  const power = async () => {
    const answer = await coordinator.anyone.call(governance.votingPower, { params: { user_id } });
    return must(answer).voting_power;
  };
  await payFor(['before']);
  await passes(async () => expect(await power()).toBe(FUNDS - PRICE));
  const { copies } = await backUp();
  // Each in blocks of their own, all of which the copy misses.
  for (const [index, name] of ['after 1', 'after 2', 'after 3'].entries()) {
    await payFor([name]);
    await passes(async () => expect(await power()).toBe(FUNDS - (2 + index) * PRICE));
  }
  await stop();
  await restore(copies, 'governance');
  await start();
  expect(await power()).toBe(FUNDS - PRICE);

  await payFor(['new']);
  await passes(async () => expect(await power()).toBe(FUNDS - 5 * PRICE), { withinMs: 30_000 });
  expect(coordinator.said.some(({ line }) => line.includes('blocks were missed'))).toBe(true);
  // Up to the newest block, without a gap.
  await passes(async () => {
    const [tip] = must(await coordinator.anyone.call(ledger.blocks, { query: { limit: 1 } })).items;
    const text = await (await fetch(`${coordinator.url}/metrics`)).text();
    const gauge = (name: string) => Number(new RegExp(`^${name}\\S* (\\S+)$`, 'm').exec(text)?.[1]);
    expect([gauge('governance_snapshot_height'), gauge('governance_snapshot_gap')]).toEqual([tip?.height, 0]);
  });
});

test('an older jobs file beside newer others: what it forgot is reported, what was paid does not run again', {
  timeout: 120_000,
}, async () => {
  await payFor(['before 1', 'before 2']);
  // Paid for and waiting in the copy; done and paid by the time the copy comes back.
  await endPlay();
  const body = embedding('runs once', { payment_amount: PRICE });
  const waiting = must(await coordinator.client.call(jobs.submit, { body })).id;
  await passes(async () => {
    const job = must(await coordinator.client.call(jobs.get, { params: { job_id: waiting } }));
    expect(job).toMatchObject({ status: 'pending', payment_status: 'escrowed' });
  });
  const { copies } = await backUp();
  await coordinator.stop();
  await start();
  await payFor(['after 1']);
  await passes(async () => {
    const job = must(await coordinator.client.call(jobs.get, { params: { job_id: waiting } }));
    expect(job.payment_status).toBe('released');
  });
  expect((await balance()).available).toBe(FUNDS - 4 * PRICE);

  await stop();
  await restore(copies, 'jobs');
  await start();
  await passes(async () => expect(await missedBy('jobs')).toBeGreaterThan(0));
  expect(reported('jobs').length).toBeGreaterThan(0);

  // It waits in the copy, but its miner was paid: payments says so again, and nobody runs it for nothing.
  await passes(
    async () => {
      const job = must(await coordinator.client.call(jobs.get, { params: { job_id: waiting } }));
      expect(job).toMatchObject({
        status: 'failed',
        attempt: 0,
        error: { code: 'PAYMENT_RELEASED' },
        payment_status: 'released',
      });
    },
    { withinMs: 20_000 },
  );
  await payFor(['new 1', 'new 2']);
  expect(await balance()).toMatchObject({ available: FUNDS - 6 * PRICE, held: 0 });
  const paid = await releases();
  expect(paid).toHaveLength(6);
  expect(repeated(paid)).toEqual([]);
  const receipts = await every(async (cursor) =>
    must(await coordinator.anyone.call(jobs.publicReceipts, { query: { limit: 500, ...cursor } })),
  );
  expect(repeated(receipts.map(({ job_id }) => job_id))).toEqual([]);
});

test('a continuous backup beside work: the drill proves it, and the coordinator goes on from what is restored', {
  timeout: 400_000,
}, async () => {
  const backup = backUpContinuously();
  // A base of each, and then what the jobs change.
  await passes(async () => expect(backup.steps()).toBeGreaterThanOrEqual(6), { withinMs: 150_000 });
  const seen = backup.steps();
  await payFor(['before 1', 'before 2']);
  await passes(async () => expect(backup.steps()).toBeGreaterThan(seen), { withinMs: 60_000 });
  await endPlay();
  expect(await backup.stop()).toBe(0);
  const { copies } = await backUp();

  // While it runs: nothing of it is touched.
  const right = await codeOf('restore.ts', '--drill', '--from', backup.to);
  expect(right.said).toMatch(/payments .* blocks, \d+ transfers +right/);
  expect([right.code, right.said.match(/ right$/gm)?.length]).toEqual([0, 6]);
  expect((await codeOf('restore.ts', '--drill', '--from', copies)).code).toBe(0);

  // A row that is missing, and money that somebody has made.
  const jobsFile = await openByHand(`sqlite:///${join(copies, 'jobs.db')}`, 'off');
  await jobsFile.exec('DELETE FROM job_label; DELETE FROM receipt');
  await jobsFile.close();
  const ledger = await openByHand(`sqlite:///${join(copies, 'payments.db')}`, 'off');
  await ledger.exec('UPDATE transfer SET amount_minor = amount_minor + 1 WHERE seq = 1');
  await ledger.close();
  const wrong = await codeOf('restore.ts', '--drill', '--from', copies);
  expect(wrong.code).toBe(1);
  expect(wrong.said).toMatch(/jobs .*receipt has 0 rows, the backup says 2/);
  expect(wrong.said).toMatch(/payments .*block \d+ transaction .* hash does not match/);

  await coordinator.stop();
  expect(await run('restore.ts', '--from', backup.to, '--data-dir', join(folder, 'data'))).toContain(
    'payments.db      restored as of',
  );
  await start();
  // The last look at payments may have been before the second release: it is made again.
  await passes(async () => expect(await balance()).toMatchObject({ available: FUNDS - 2 * PRICE, held: 0 }), {
    withinMs: 60_000,
  });
  await payFor(['after']);
  expect((await verifyLedger({ url: coordinator.url, from: 0 })).wrong).toBeNull();
});
