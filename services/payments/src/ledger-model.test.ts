import { copyFileSync, existsSync } from 'node:fs';
import { createListeners, createParameters, databasePath, openStore, type Store } from '@aitbc/chassis';
import { type Caller, Problem, type ProblemCode } from '@aitbc/contracts';
import { openByHand, propertyRuns, scratchDatabase, someone, testEngine } from '@aitbc/testing';
import * as fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { auditAccounts } from './audit.ts';
import { createPayment } from './commands/hold.ts';
import { askForRefund, releaseByHand } from './commands/manual.ts';
import { creditByAdmin } from './commands/mint.ts';
import type { Deps } from './commands/resolve.ts';
import { settle } from './commands/settle.ts';
import { createConsumers } from './consumers.ts';
import { passDeadlines } from './schedule.ts';
import { sealBlock } from './seal.ts';
import { openSigner, type Signer } from './signing.ts';
import { findAccount, findUser, PLATFORM, TREASURY } from './store/accounts.ts';
import { findPaymentOfJob, findUnsettled } from './store/payments.ts';
import { aJob } from './testing/stand.ts';

// The model is the ledger said in thirty lines of plain arithmetic, with no table, no message and no order to keep.
interface ModelJob {
  facts: ReturnType<typeof aJob>;
  payer: number;
  payee: number;
  isKnown: boolean;
  isStarted: boolean;
  wentBack: boolean;
  ended: 'completed' | 'failed' | 'cancelled' | 'expired' | null;
  /** Its receipt names the payment. */
  isPriced: boolean;
  payment: {
    amount: number;
    status: 'escrowed' | 'released' | 'refunded' | 'failed';
    decided: 'release' | 'refund' | null;
    expiresMs: number;
  } | null;
}
interface Model {
  available: number[];
  held: number[];
  /** Of everybody's one key. */
  spent: number[];
  platform: number;
  treasury: number;
  feesWaiting: number;
  minted: number;
  hasUnsealed: boolean;
  nowMs: number;
  jobs: ModelJob[];
}
interface Real {
  url: string;
  store: Store;
  deps: Deps;
  signer: Signer;
  consumers: ReturnType<typeof createConsumers>;
  clock: { nowMs: number };
}

const USERS = 3;
const FEE_BASIS_POINTS = 250;
const ESCROW_TIMEOUT_MS = 3_600_000;
const GRACE_MS = 60_000;
const CAP = 3_000;
/** What each begins with: enough for a few payments, and soon not enough. */
const FUNDS = 10_000;
const users: Caller[] = Array.from({ length: USERS }, (_, index) =>
  someone(['client', 'miner'], index === 2 ? { spend_cap_minor: CAP } : {}),
);
const admin = someone(['admin']);
const START_MS = Date.UTC(2026, 0, 1);

const open = async (url: string, clock: { nowMs: number }): Promise<Real> => {
  const store = await openStore({
    url,
    service: 'payments',
    migrations,
  });
  const deps: Deps = {
    parameters: await createParameters(store, 'payments'),
    listeners: await createListeners(store),
    now: () => clock.nowMs,
  };
  const signer = await openSigner(store, { NODE_ENV: 'test' });
  await signer.keep();
  return { url, store, deps, signer, consumers: createConsumers(deps), clock };
};

const filesOf = (path: string): string[] =>
  ['', '-wal'].map((suffix) => path + suffix).filter((file) => existsSync(file));

/** Without closing it: what a process that was killed leaves behind, in its file or on its server. */
const crash = async (real: Real): Promise<void> => {
  const before = real.store;
  if (testEngine === 'sqlite') {
    const url = scratchDatabase('payments');
    for (const file of filesOf(before.path))
      copyFileSync(file, databasePath(url) + file.slice(before.path.length));
    Object.assign(real, await open(url, real.clock));
  } else {
    // The server notices that a process is gone, and ends what it served.
    const db = await openByHand(real.url);
    await db.all(`SELECT pg_terminate_backend(pid) FROM pg_locks
      WHERE locktype = 'advisory' AND pid <> pg_backend_pid()`);
    await db.close();
    Object.assign(real, await open(real.url, real.clock));
  }
  await before.close();
};

const refusalOf = async (work: Promise<unknown>): Promise<ProblemCode | null> => {
  try {
    await work;
    return null;
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
};

const agree = async (model: Model, { store }: Real): Promise<void> => {
  const { read } = store;
  for (const [index, user] of users.entries()) {
    const account = await findUser(read, user.account_id);
    expect(account?.balance_minor ?? 0).toBe(model.available[index]);
    expect(account?.held_minor ?? 0).toBe(model.held[index]);
  }
  const { wrong, next } = await auditAccounts(read, 0, 10_000);
  expect(wrong).toEqual([]);
  expect(next).toBe(0);
  expect((await findAccount(read, PLATFORM.id))?.balance_minor).toBe(model.platform);
  expect((await findAccount(read, TREASURY.id))?.balance_minor).toBe(model.treasury);
  const held = model.jobs.reduce(
    (sum, job) => sum + (job.payment?.status === 'escrowed' ? job.payment.amount : 0),
    0,
  );
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  expect(sum(model.held)).toBe(held);
  expect(sum(model.available) + held + model.platform + model.treasury).toBe(model.minted);
  for (const job of model.jobs) {
    const payment = await findPaymentOfJob(read, job.facts.job_id);
    expect(payment?.status).toBe(job.payment?.status);
    expect(payment?.decision ?? null).toBe(job.payment?.decided ?? null);
  }
};

const hold = (model: Model, job: ModelJob, amount: number): ProblemCode | null => {
  const cap = users[job.payer]?.spend_cap_minor ?? null;
  if (cap !== null && (model.spent[job.payer] as number) + amount > cap) return 'SPEND_CAP_EXCEEDED';
  if ((model.available[job.payer] as number) < amount) return 'INSUFFICIENT_FUNDS';
  model.available[job.payer] = (model.available[job.payer] as number) - amount;
  model.held[job.payer] = (model.held[job.payer] as number) + amount;
  model.spent[job.payer] = (model.spent[job.payer] as number) + amount;
  model.hasUnsealed = true;
  job.payment = {
    amount,
    status: 'escrowed',
    decided: null,
    expiresMs: model.nowMs + ESCROW_TIMEOUT_MS,
  };
  decideByJob(job);
  return null;
};

const decideByJob = (job: ModelJob): void => {
  if (job.ended === null || job.payment?.status !== 'escrowed') return;
  job.payment.decided ??= job.isPriced ? 'release' : 'refund';
};

type Command = fc.AsyncCommand<Model, Real>;
const command = (name: string, check: (model: Model) => boolean, run: Command['run']): Command => ({
  check,
  run: async (model, real) => {
    await run(model, real);
    await agree(model, real);
  },
  toString: () => name,
});
const pick = (model: Model, at: number): ModelJob => model.jobs[at % model.jobs.length] as ModelJob;
const hasJobs = (model: Model): boolean => model.jobs.length > 0;

const credit = (user: number, amount: number) =>
  command(
    `credit(${user}, ${amount})`,
    () => true,
    async (model, real) => {
      const { account_id } = users[user] as Caller;
      await real.store.transact('credit', async (trx) => {
        await real.consumers['gateway.account_created'](trx, { account_id, wallet_address: null });
        await creditByAdmin(trx, real.deps, admin, { account_id, amount_minor: amount, reason: 'model' });
      });
      model.available[user] = (model.available[user] as number) + amount;
      model.minted += amount;
      model.hasUnsealed = true;
    },
  );

const submit = (payer: number, payee: number, amount: number | null, isLate: boolean) =>
  command(
    `submit(${payer}, ${payee}, ${amount}${isLate ? ', message late' : ''})`,
    () => true,
    async (model, real) => {
      const facts = aJob(users[payer] as Caller, users[payee] as Caller);
      const job: ModelJob = {
        facts,
        payer,
        payee,
        isKnown: false,
        isStarted: false,
        wentBack: false,
        ended: null,
        isPriced: false,
        payment: null,
      };
      model.jobs.push(job);
      const submitted = facts.submitted(amount);
      if (isLate) {
        // The end is heard before the beginning.
        await real.store.transact('ended', (trx) =>
          real.consumers['jobs.ended'](trx, facts.ended('completed')),
        );
        job.ended = 'completed';
        job.isStarted = true;
      }
      // Twice, as any message may come.
      for (let i = 0; i < 2; i += 1)
        await real.store.transact('submitted', (trx) => real.consumers['jobs.submitted'](trx, submitted));
      job.isKnown = true;
      if (amount === null) return;
      const refusal = hold(model, job, amount);
      if (refusal !== null) job.payment = { amount, status: 'failed', decided: null, expiresMs: 0 };
    },
  );

const pay = (at: number, amount: number) =>
  command(`pay(${at}, ${amount})`, hasJobs, async (model, real) => {
    const job = pick(model, at);
    const refusal = await refusalOf(
      real.store.transact('pay', (trx) =>
        createPayment(trx, real.deps, users[job.payer] as Caller, {
          job_id: job.facts.job_id,
          amount: amount / 100_000_000,
        }),
      ),
    );
    if (job.payment !== null) expect(refusal).toBe('PAYMENT_ALREADY_EXISTS');
    else if (job.ended !== null)
      expect(refusal).toBe(job.ended === 'completed' ? 'JOB_COMPLETED' : 'JOB_ALREADY_ENDED');
    else if (job.isStarted) expect(refusal).toBe('JOB_RUNNING');
    else expect(refusal).toBe(hold(model, job, amount));
  });

const start = (at: number, runsForMs: number) =>
  command(`start(${at})`, hasJobs, async (model, real) => {
    const job = pick(model, at);
    const deadlineMs = model.nowMs + runsForMs;
    await real.store.transact('started', (trx) =>
      real.consumers['jobs.started'](trx, job.facts.started(deadlineMs)),
    );
    if (job.ended !== null || job.isStarted || job.wentBack) return;
    job.isStarted = true;
  });

const end = (at: number, status: NonNullable<ModelJob['ended']>) =>
  command(`end(${at}, ${status})`, hasJobs, async (model, real) => {
    const job = pick(model, at);
    const payment = await findPaymentOfJob(real.store.read, job.facts.job_id);
    const isPriced = status === 'completed' && payment?.status === 'escrowed';
    const paidWith = isPriced ? payment : null;
    const ended = job.facts.ended(status, paidWith, status === 'completed' || job.isStarted);
    await real.store.transact('ended', (trx) => real.consumers['jobs.ended'](trx, ended));
    if (job.ended === null) {
      job.ended = status;
      job.isPriced = isPriced;
    }
    if (job.ended === 'completed') job.isStarted = true;
    decideByJob(job);
  });

const byHand = (kind: 'release' | 'refund', at: number, who: 'payer' | 'payee' | 'admin' | 'stranger') =>
  command(`${kind}(${at}, ${who})`, hasJobs, async (model, real) => {
    const job = pick(model, at);
    const payment = await findPaymentOfJob(real.store.read, job.facts.job_id);
    if (payment === undefined || job.payment === null) return;
    const callers = {
      payer: users[job.payer],
      payee: users[job.payee],
      admin,
      stranger: someone(['client']),
    };
    const refusal = await refusalOf(
      real.store.transact(kind, async (trx) =>
        kind === 'release'
          ? await releaseByHand(trx, callers[who] as Caller, payment.id)
          : await askForRefund(trx, real.deps, callers[who] as Caller, payment.id, 'model'),
      ),
    );
    const isPayer = who === 'payer' || (who === 'payee' && job.payer === job.payee);
    const isPayee = who === 'payee' && !isPayer && (job.isStarted || job.payment.decided === 'release');
    if (who !== 'admin' && !isPayer && !isPayee) {
      expect(refusal).toBe('NOT_FOUND');
      return;
    }
    if (kind === 'release' && isPayee) {
      expect(refusal).toBe('FORBIDDEN');
      return;
    }
    if (job.payment.status === 'failed') {
      expect(refusal).toBe('PAYMENT_NOT_ESCROWED');
      return;
    }
    if (job.payment.decided === kind) expect(refusal).toBeNull();
    else if (kind === 'release')
      expect(refusal).toBe(job.payment.decided === null ? 'JOB_NOT_COMPLETED' : 'PAYMENT_ALREADY_RESOLVED');
    // Asked for, and decided elsewhere: by itself it changes nothing.
    else expect(refusal).toBe(job.payment.decided === null ? null : 'JOB_COMPLETED');
  });

const requeue = (at: number) =>
  command(`requeue(${at})`, hasJobs, async (model, real) => {
    const job = pick(model, at);
    // Its next attempt has the same number here: a job starts once in this model, and goes back once.
    if (job.ended !== null || !job.isStarted) return;
    await real.store.transact('requeued', (trx) =>
      real.consumers['jobs.requeued'](trx, job.facts.requeued()),
    );
    job.isStarted = false;
    job.wentBack = true;
  });

const refuseDeadline = (at: number, runsForMs: number) =>
  command(`refuseDeadline(${at}, ${runsForMs})`, hasJobs, async (model, real) => {
    const job = pick(model, at);
    const payment = await findPaymentOfJob(real.store.read, job.facts.job_id);
    if (payment === undefined || job.payment === null) return;
    await real.store.transact('refused', (trx) =>
      real.consumers['jobs.refund_refused'](trx, {
        payment_id: payment.id,
        job_id: job.facts.job_id,
        request_id: null,
        code: 'JOB_RUNNING',
        until_ms: model.nowMs + runsForMs,
      }),
    );
    job.payment.expiresMs = model.nowMs + runsForMs + GRACE_MS;
  });

const passTime = (byMs: number) =>
  command(
    `passTime(${byMs / 1_000} s)`,
    () => true,
    async (model, real) => {
      model.nowMs += byMs;
      real.clock.nowMs = model.nowMs;
      await passDeadlines(real.store, real.deps);
      for (const job of model.jobs) {
        const { payment } = job;
        if (payment?.status !== 'escrowed' || payment.decided !== null || payment.expiresMs > model.nowMs)
          continue;
        // A question to jobs, once a minute: nothing is decided here.
        payment.expiresMs = model.nowMs + GRACE_MS;
      }
    },
  );

const settleAll = () =>
  command(
    'settle',
    () => true,
    async (model, real) => {
      const due = await findUnsettled(real.store.read, model.nowMs, 1_000);
      // Twice, as two workers might.
      await Promise.all(
        [...due, ...due].map((id) => real.store.transact('settle', (trx) => settle(trx, real.deps, id))),
      );
      for (const { payment, payer, payee } of model.jobs) {
        if (payment === null || payment.status !== 'escrowed' || payment.decided === null) continue;
        const { amount } = payment;
        model.held[payer] = (model.held[payer] as number) - amount;
        if (payment.decided === 'refund') {
          payment.status = 'refunded';
          model.available[payer] = (model.available[payer] as number) + amount;
          model.spent[payer] = (model.spent[payer] as number) - amount;
        } else {
          payment.status = 'released';
          const fee = Math.floor((amount * FEE_BASIS_POINTS) / 10_000);
          model.available[payee] = (model.available[payee] as number) + amount - fee;
          model.platform += fee;
          model.feesWaiting += fee;
        }
        model.hasUnsealed = true;
      }
    },
  );

const sealAll = () =>
  command(
    'seal',
    () => true,
    async (model, real) => {
      const sealed = await sealBlock(real.store, real.signer, 0, model.nowMs);
      expect(sealed > 0).toBe(model.hasUnsealed);
      const share = Math.floor(model.feesWaiting / 2);
      model.platform -= share;
      model.treasury += share;
      model.feesWaiting = 0;
      model.hasUnsealed = share > 0;
    },
  );

const crashNow = () =>
  command(
    'crash',
    () => true,
    async (_model, real) => crash(real),
  );

const user = fc.nat(USERS - 1);
const amount = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 4_000 }));
/** Of the few jobs there are, so that several things happen to each. */
const at = fc.nat(7);
const ends = fc.constantFrom(
  'completed' as const,
  'failed' as const,
  'cancelled' as const,
  'expired' as const,
);
const anySubmit = fc
  .tuple(user, user, fc.option(amount, { freq: 8 }), fc.integer({ min: 0, max: 6 }))
  .map(([payer, payee, a, late]) => submit(payer, payee, a, late === 0));
const anyEnd = fc.tuple(at, ends).map(([i, status]) => end(i, status));
const anySettle = fc.constant(null).map(settleAll);
// Some stand here more than once: there must be something to end, and something ended to carry out.
const commands = [
  anySubmit,
  anySubmit,
  anySubmit,
  anyEnd,
  anyEnd,
  anySettle,
  anySettle,
  fc.tuple(user, fc.integer({ min: 1, max: 10_000 })).map(([u, a]) => credit(u, a)),
  fc.tuple(at, amount).map(([i, a]) => pay(i, a)),
  fc.tuple(at, fc.integer({ min: 1_000, max: 7_200_000 })).map(([i, ms]) => start(i, ms)),
  fc.tuple(at, fc.integer({ min: 1_000, max: 7_200_000 })).map(([i, ms]) => refuseDeadline(i, ms)),
  at.map(requeue),
  fc
    .tuple(
      fc.constantFrom('release' as const, 'refund' as const),
      at,
      fc.constantFrom('payer' as const, 'payee' as const, 'admin' as const, 'stranger' as const),
    )
    .map(([kind, i, who]) => byHand(kind, i, who)),
  fc.integer({ min: 1_000, max: 4_000_000 }).map(passTime),
  fc.constant(null).map(sealAll),
  fc.constant(null).map(crashNow),
];

const openFunded = async (url: string): Promise<Real> => {
  const real = await open(url, { nowMs: START_MS });
  await real.store.transact('fund', async (trx) => {
    for (const { account_id } of users) {
      await real.consumers['gateway.account_created'](trx, { account_id, wallet_address: null });
      await creditByAdmin(trx, real.deps, admin, { account_id, amount_minor: FUNDS, reason: 'model' });
    }
  });
  return real;
};

let template = '';
beforeAll(async () => {
  if (testEngine !== 'sqlite') return;
  template = scratchDatabase('payments');
  await (await openFunded(template)).store.close();
});

/** A copy is made in no time where it can be made. */
const openCopy = async (): Promise<Real> => {
  const url = scratchDatabase('payments');
  if (testEngine !== 'sqlite') return openFunded(url);
  copyFileSync(databasePath(template), databasePath(url));
  return open(url, { nowMs: START_MS });
};

it('agrees with plain arithmetic, whatever happens in whatever order', async () => {
  const seen = { runs: 0, commands: 0 };
  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 25, size: 'max' }), async (plan) => {
      const real = await openCopy();
      try {
        await fc.asyncModelRun(
          () => ({
            model: {
              available: users.map(() => FUNDS),
              held: [0, 0, 0],
              spent: [0, 0, 0],
              platform: 0,
              treasury: 0,
              feesWaiting: 0,
              minted: FUNDS * USERS,
              hasUnsealed: true,
              nowMs: START_MS,
              jobs: [],
            },
            real,
          }),
          plan,
        );
        seen.runs += 1;
        seen.commands += [...plan].length;
      } finally {
        await real.store.close();
      }
    }),
    { numRuns: Number(process.env.MODEL_RUNS ?? propertyRuns(300)) },
  );
  console.log(`${seen.runs} runs, ${seen.commands} commands`);
}, 300_000);
