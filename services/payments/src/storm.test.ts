import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient, newId, routes } from '@aitbc/contracts';
import {
  eventually,
  freePort,
  openByHand,
  openPeers,
  scratchDatabase,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  testEngine,
} from '@aitbc/testing';
import { expect, it } from 'vitest';
import { verifyLedger } from '../../../scripts/verify.ts';
import { type Child, startChild } from './testing/child.ts';
import { headersOf } from './testing/headers.ts';
import { ESCROW_TIMEOUT_SECONDS, makePlan } from './testing/storm/plan.ts';

const SECONDS = Number(process.env.STORM_SECONDS ?? 20);
const PAYMENTS = Number(process.env.STORM_PAYMENTS ?? 1_000);
/** Until what is under way when the killing ends has come to its end. */
const DRAIN_MS = 90_000;
const DEATHS_MIN = 2;
const SLOW_MACHINE_MS = 40_000;
const LOOK_EVERY_MS = 250;
const KILL_AFTER_MS = { min: 400, max: 900 };

const script = (name: string) => join(import.meta.dirname, 'testing', 'storm', `${name}.ts`);

/** One consistent look at the tables, from another process than the one that writes them. */
const look = async (url: string) => {
  const db = await openByHand(url);
  try {
    await db.exec(testEngine === 'sqlite' ? 'BEGIN' : 'BEGIN ISOLATION LEVEL REPEATABLE READ');
    const one = async (sql: string): Promise<number> =>
      Number(Object.values((await db.all(sql))[0] ?? {})[0]);
    return {
      balances: await one('SELECT coalesce(sum(balance_minor), 0) FROM account'),
      apart: await one(`SELECT count(*) FROM account a WHERE balance_minor <>
        (SELECT coalesce(sum(amount_minor), 0) FROM transfer WHERE credit = a.id) -
        (SELECT coalesce(sum(amount_minor), 0) FROM transfer WHERE debit = a.id)`),
      inEscrow: await one(`SELECT coalesce(sum(balance_minor), 0) FROM account WHERE kind = 'escrow'`),
      held: await one('SELECT coalesce(sum(held_minor), 0) FROM account'),
      escrowed: await one(`SELECT coalesce(sum(amount_minor), 0) FROM payment WHERE status = 'escrowed'`),
      // Of one payment: released and refunded, or any of it twice.
      doubles: await one(`SELECT count(*) FROM (SELECT reference FROM transfer
        WHERE kind IN ('release', 'refund') GROUP BY reference HAVING count(*) > 1) AS twice`),
      payments: await one('SELECT count(*) FROM payment'),
      open: await one(`SELECT count(*) FROM payment WHERE status = 'escrowed'`),
    };
  } finally {
    await db.close();
  }
};

const rowsOf = async (url: string, sql: string): Promise<Record<string, unknown>[]> => {
  const db = await openByHand(url);
  try {
    return await db.all(sql);
  } finally {
    await db.close();
  }
};

it(
  `${PAYMENTS} payments, everything fired at each together, processes killed for ${SECONDS} s: each ends once`,
  async () => {
    const directory = scratchDirectory();
    const redisUrl = await scratchRedis();
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const plan = makePlan({ url, redisUrl, payments: PAYMENTS, durationMs: SECONDS * 1_000 });
    const planPath = join(directory, 'plan.json');
    writeFileSync(planPath, JSON.stringify(plan));
    const serviceEnvironment = {
      ...serviceEnv('payments', directory, redisUrl),
      PORT: String(port),
      LOG_LEVEL: 'info',
      STORM_PLAN: planPath,
    };
    const paymentsAt = scratchDatabase('payments', directory);
    const jobsAt = scratchDatabase('jobs', directory);
    const peers = await openPeers(redisUrl);

    const env = { STORM_PLAN: planPath, STORM_DATABASE: jobsAt, NODE_ENV: 'test' };
    const isReady = (line: string) => line === 'ready';
    const makers = {
      payments: () =>
        startChild({
          script: script('service'),
          env: serviceEnvironment,
          isReady: (line) => line.includes('"msg":"ready"'),
        }),
      jobs: () => startChild({ script: script('jobs'), env, isReady }),
      'callers-1': () => startChild({ script: script('callers'), env, isReady }),
      'callers-2': () => startChild({ script: script('callers'), env, isReady }),
    };
    type Name = keyof typeof makers;
    const running = {} as Record<Name, Child>;
    const counts = { kills: 0, deaths: 0, looks: 0 };
    let isOver = false;
    let up: Child | undefined;
    const isUp = () => up?.isRunning() === true;
    /** Keeps one process alive, as a supervisor would. */
    const keep = async (name: Name): Promise<void> => {
      while (!isOver) {
        const child = makers[name]();
        running[name] = child;
        if ((await child.ready) && name === 'payments') up = child;
        const { code } = (await child.exited) as { code: number | null };
        if (code === 0) return;
        if (code !== null) throw new Error(`${name} ended by itself with ${code}: ${child.errors()}`);
      }
    };
    const failures: unknown[] = [];
    const guard = (work: Promise<void>) => work.catch((error) => void failures.push(error));

    const keeping = [guard(keep('payments'))];
    await eventually(() => running.payments?.ready, { withinMs: 20_000 });
    const operator = createClient(url, headersOf(plan.admin));
    await peers.send(
      'governance.parameter_changed',
      { name: 'escrow_timeout_seconds', value: ESCROW_TIMEOUT_SECONDS, version: 1, proposal_id: newId() },
      'payments',
    );
    for (const { account_id } of plan.payers) {
      await peers.send('gateway.account_created', { account_id, wallet_address: null });
      const credited = await operator.call(routes.payments.credit, {
        params: { account_id },
        body: { amount: 1_000, reason: 'storm' },
      });
      expect(credited.status).toBe(201);
    }
    keeping.push(...(['jobs', 'callers-1', 'callers-2'] as const).map((name) => guard(keep(name))));

    const check = async (): Promise<Awaited<ReturnType<typeof look>> | null> => {
      let seen: Awaited<ReturnType<typeof look>>;
      try {
        seen = await look(paymentsAt);
      } catch {
        // Between two lives nobody may be there who could let a reader in.
        return null;
      }
      counts.looks += 1;
      expect(seen).toMatchObject({ balances: 0, apart: 0, doubles: 0 });
      expect(seen.inEscrow).toBe(seen.escrowed);
      expect(seen.held).toBe(seen.escrowed);
      return seen;
    };
    const looking = guard(
      (async () => {
        while (!isOver) {
          await check();
          await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
        }
      })(),
    );

    try {
      // The one with the ledger dies as often as the others together.
      const victims: Name[] = ['payments', 'jobs', 'payments', 'callers-1', 'payments', 'callers-2'];
      const until = Date.now() + SECONDS * 1_000;
      // On a slow machine the ledger is up less often: the storm blows on until it has died often enough.
      while (Date.now() < until || (counts.deaths <= DEATHS_MIN && Date.now() < until + SLOW_MACHINE_MS)) {
        const wait = KILL_AFTER_MS.min + Math.random() * (KILL_AFTER_MS.max - KILL_AFTER_MS.min);
        await new Promise((resolve) => setTimeout(resolve, wait));
        // A start that is cut short proves little: it is another's turn while the ledger is not up.
        const name = victims[counts.kills % victims.length] as Name;
        const victim = name === 'payments' && !isUp() ? 'callers-1' : name;
        if (victim === 'payments') counts.deaths += 1;
        running[victim].kill('SIGKILL');
        counts.kills += 1;
      }
      await eventually(
        async () => {
          const seen = await check();
          if (failures.length > 0) throw failures[0];
          return seen !== null && seen.payments === PAYMENTS && seen.open === 0;
        },
        { withinMs: DRAIN_MS, everyMs: 250 },
      );
      await eventually(
        async () => (await rowsOf(jobsAt, 'SELECT payment_id FROM resolved')).length >= PAYMENTS,
        {
          withinMs: 20_000,
        },
      );
      const chain = await eventually(
        async () => {
          const verdict = await verifyLedger({ url, from: 0, headers: headersOf(null) });
          const newest = await createClient(url, headersOf(null)).call(routes.payments.transactions, {
            query: { limit: 1 },
          });
          return newest.ok && newest.body.items[0]?.block_height !== null ? verdict : undefined;
        },
        { withinMs: 20_000, everyMs: 250 },
      );
      expect(chain.wrong).toBeNull();
    } finally {
      isOver = true;
      for (const child of Object.values(running)) child.kill('SIGKILL');
      await Promise.all([...keeping, looking]);
      await peers.close();
    }
    expect(failures).toEqual([]);

    const last = await look(paymentsAt);
    expect(last).toMatchObject({ payments: PAYMENTS, open: 0, inEscrow: 0, held: 0, escrowed: 0 });
    const ended = new Map(
      (await rowsOf(paymentsAt, 'SELECT job_id, status FROM payment')).map((row) => [
        row.job_id as string,
        row.status as string,
      ]),
    );
    // What jobs was told of each payment is what became of it, and each is what jobs said: paid is what its receipt names.
    const resolved = new Map(
      (await rowsOf(jobsAt, 'SELECT job_id, kind FROM resolved')).map((row) => [
        row.job_id as string,
        row.kind as string,
      ]),
    );
    expect(resolved).toEqual(ended);
    const priced = new Map(
      (await rowsOf(jobsAt, 'SELECT id, ended FROM job')).map((row) => {
        const { payment_id } = JSON.parse(row.ended as string) as { payment_id: string | null };
        return [row.id as string, payment_id === null ? 'refunded' : 'released'];
      }),
    );
    expect(priced).toEqual(ended);
    const released = [...ended.values()].filter((status) => status === 'released').length;
    expect(released).toBeGreaterThan(PAYMENTS / 10);
    expect(released).toBeLessThan(PAYMENTS * 0.9);
    expect(counts.looks).toBeGreaterThan(SECONDS);
    expect(counts.deaths).toBeGreaterThan(DEATHS_MIN);
    console.log(
      `${counts.kills} kills, ${counts.deaths} of them of payments, ${counts.looks} looks, ${released} released, ${PAYMENTS - released} refunded`,
    );
  },
  SECONDS * 1_000 + DRAIN_MS + 90_000,
);
