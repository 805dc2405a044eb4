import { routes, toMinor } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  freePort,
  hasPostgres,
  openPeers,
  type PostgresServer,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  startPostgres,
} from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Child, startChild } from './testing/child.ts';
import { aJob } from './testing/stand.ts';

const ESCROWS = 200;
const PAYERS = 10;
const MAIN = new URL('./main.ts', import.meta.url).pathname;

let server: PostgresServer;
const children: Child[] = [];
beforeAll(async () => {
  if (hasPostgres) server = await startPostgres();
}, 60_000);
afterAll(async () => {
  for (const child of children) if (child.isRunning()) child.kill();
  await server?.stop();
});

test.skipIf(!hasPostgres)(
  `two processes on one PostgreSQL: ${ESCROWS} escrows end once, and the one that lives seals on`,
  async () => {
    const redisUrl = await scratchRedis();
    const database = await server.database();
    const sql = (text: string) => server.sql(text, new URL(database).pathname.slice(1));
    const one = async (text: string): Promise<number> => Number(Object.values((await sql(text))[0] ?? {})[0]);
    const env = { ...serviceEnv('payments', scratchDirectory(), redisUrl), DATABASE_URL: database };
    const start = async () => {
      const port = String(await freePort());
      const child = startChild({
        script: MAIN,
        env: { ...env, PORT: port, LOG_LEVEL: 'info', NODE_ENV: 'development' },
        isReady: (line) => line.includes('"ready"'),
      });
      children.push(child);
      expect(await child.ready, child.errors()).toBe(true);
      return { child, url: `http://127.0.0.1:${port}` };
    };
    const processes = await Promise.all([start(), start()]);
    const peers = await openPeers(redisUrl);
    const toJobs = peers.listen('jobs');

    // Money for all, asked for at both at once.
    const payers = Array.from({ length: PAYERS }, () => someone(['client']));
    for (const { account_id } of payers)
      await peers.send('gateway.account_created', { account_id, wallet_address: null });
    await Promise.all(
      payers.map(({ account_id }, index) =>
        eventually(async () => {
          const { url } = processes[index % 2] as (typeof processes)[number];
          const reply = await callerOf(url, someone(['admin'])).call(routes.payments.credit, {
            params: { account_id },
            body: { amount: 1_000, reason: 'for a test' },
          });
          if (!reply.ok && reply.status !== 404) throw new Error(JSON.stringify(reply.body));
          return reply.ok;
        }),
      ),
    );

    const jobs = Array.from({ length: ESCROWS }, (_, index) => aJob(payers[index % PAYERS] as never));
    await Promise.all(jobs.map((job) => peers.send('jobs.submitted', job.submitted(toMinor(1)))));
    const held = new Map<string, { id: string; amount_minor: number }>();
    await eventually(
      () => {
        for (const { name, payload } of toJobs)
          if (name === 'payments.escrowed')
            held.set(payload.job_id, { id: payload.payment_id, amount_minor: payload.amount_minor });
        return held.size === ESCROWS;
      },
      { withinMs: 60_000 },
    );

    // Releases and refunds at once; the one that seals dies among them.
    const sealing = await eventually(async () => {
      for (const { child, url } of processes) {
        const text = await (await fetch(`${url}/metrics`)).text();
        const runs = /^schedule_runs_total\{[^}]*payments\.seal[^}]*\} (\d+)/m.exec(text);
        if (Number(runs?.[1] ?? 0) > 0) return child;
      }
      return undefined;
    });
    const ends = jobs.map(async (job, index) => {
      await peers.send('jobs.started', job.started());
      const paidWith = held.get(job.job_id) as { id: string; amount_minor: number };
      await peers.send(
        'jobs.ended',
        index % 2 === 0 ? job.ended('completed', paidWith) : job.ended('cancelled'),
      );
    });
    await Promise.all(ends.slice(0, ESCROWS / 2));
    const termBefore = await one('SELECT term FROM payments.sealer');
    sealing.kill('SIGKILL');
    await Promise.all(ends);

    await eventually(
      async () => (await one(`SELECT count(*) FROM payments.payment WHERE status = 'escrowed'`)) === 0,
      { withinMs: 90_000, everyMs: 250 },
    );
    await eventually(
      async () =>
        (await one(`SELECT max(seq) - (SELECT max(last_seq) FROM payments.block) FROM payments.transfer`)) ===
        0,
      { withinMs: 30_000, everyMs: 250 },
    );
    expect(await one('SELECT count(*) FROM payments.payment')).toBe(ESCROWS);
    expect(await one(`SELECT count(*) FROM payments.payment WHERE status = 'released'`)).toBe(ESCROWS / 2);
    expect(await one('SELECT sum(balance_minor) FROM payments.account')).toBe(0);
    expect(
      await one(`SELECT count(*) FROM payments.account a WHERE balance_minor <>
        (SELECT coalesce(sum(amount_minor), 0) FROM payments.transfer WHERE credit = a.id) -
        (SELECT coalesce(sum(amount_minor), 0) FROM payments.transfer WHERE debit = a.id)`),
    ).toBe(0);
    expect(
      await one(`SELECT count(*) FROM (SELECT reference FROM payments.transfer
        WHERE kind IN ('release', 'refund') GROUP BY reference HAVING count(*) > 1) twice`),
    ).toBe(0);
    // Consecutive, and each transfer in one of them.
    expect(await one('SELECT max(height) + 1 - count(*) FROM payments.block')).toBe(0);
    expect(
      await one(`SELECT count(*) FROM payments.transfer t WHERE 1 <>
        (SELECT count(*) FROM payments.block b WHERE t.seq BETWEEN b.first_seq AND b.last_seq)`),
    ).toBe(0);
    expect(await one('SELECT term FROM payments.sealer')).toBeGreaterThan(termBefore);
    await peers.close();
  },
  // Seconds when it is alone; minutes where ten others share the cores.
  300_000,
);
