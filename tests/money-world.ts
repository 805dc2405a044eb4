import {
  builder,
  createListeners,
  createMetrics,
  createParameters,
  openStore,
  type Store,
  type Trx,
} from '@aitbc/chassis';
import { type Caller, JobSubmission, newId, type Payload, Problem } from '@aitbc/contracts';
import { messagesOf, scratchDatabase, scratchDirectory, someone } from '@aitbc/testing';
import { expect } from 'vitest';
import { migrations as jobsMigrations } from '../services/jobs/migrations/index.ts';
import { cancel, expire, timeOut } from '../services/jobs/src/commands/end.ts';
import { minerChanged } from '../services/jobs/src/commands/miners.ts';
import { acceptReport, prepareReport } from '../services/jobs/src/commands/report.ts';
import { returnLeases, startMatched } from '../services/jobs/src/commands/start.ts';
import { prepare, submit } from '../services/jobs/src/commands/submit.ts';
import { createConsumers as createJobsConsumers } from '../services/jobs/src/consumers.ts';
import { createErasures } from '../services/jobs/src/erasures.ts';
import { createFleet } from '../services/jobs/src/fleet.ts';
import type { Hints } from '../services/jobs/src/hints.ts';
import { createKeyring } from '../services/jobs/src/keyring.ts';
import { createLeases } from '../services/jobs/src/lease.ts';
import { createLoad } from '../services/jobs/src/load.ts';
import { createJobMetrics } from '../services/jobs/src/metrics.ts';
import { createOutput } from '../services/jobs/src/output/index.ts';
import { createPolls, type Leased } from '../services/jobs/src/polls.ts';
import { createRests } from '../services/jobs/src/rests.ts';
import { createSeen } from '../services/jobs/src/seen.ts';
import { allMiners } from '../services/jobs/src/store/fleet.ts';
import { findJob } from '../services/jobs/src/store/jobs.ts';
import type { MinerOffer } from '../services/jobs/src/tables.ts';
import { createWaits } from '../services/jobs/src/waits.ts';
import { createWatch } from '../services/jobs/src/watch.ts';
import type { Work } from '../services/jobs/src/work.ts';
import { migrations as paymentsMigrations } from '../services/payments/migrations/index.ts';
import { auditAccounts } from '../services/payments/src/audit.ts';
import { createPayment } from '../services/payments/src/commands/hold.ts';
import { askForRefund, releaseByHand } from '../services/payments/src/commands/manual.ts';
import { creditByAdmin } from '../services/payments/src/commands/mint.ts';
import { type Deps, passDeadline } from '../services/payments/src/commands/resolve.ts';
import { settle } from '../services/payments/src/commands/settle.ts';
import { createConsumers as createPaymentsConsumers } from '../services/payments/src/consumers.ts';
import { findPaymentOfJob, findUnsettled } from '../services/payments/src/store/payments.ts';
import { checkMoney, expectNobody, type Files } from './money-checks.ts';

// The stage of the model test: jobs and payments on real files, with everything that can happen to one client's jobs.

type Destination = 'jobs' | 'payments';
interface Letter {
  to: Destination;
  name: string;
  payload: unknown;
}
const chassis = builder<{ outbox: { destination: string; seq: number; messages: string } }>();

let jobsStore: Store;
let paymentsStore: Store;
let work: Work;
let deps: Deps;
let clockMs = Date.now();
type AnyConsumers = Record<string, (trx: Trx, payload: never) => void | Promise<void>>;
let consumers: Record<Destination, AnyConsumers>;

/** A poll's name is told to a dispatcher alone, which the test is. */
let lastPoll = '';
const hints = {
  queued: () => {},
  withdrawn: () => {},
  closed: () => {},
  opened: ({ poll_id }: { poll_id: string }) => {
    lastPoll = poll_id;
  },
} as unknown as Hints;

/** What jobs holds in memory, made anew from its file, as after a restart. */
const startJobs = async (): Promise<void> => {
  const fleet = createFleet();
  const load = createLoad();
  const polls = createPolls({ hints, fleet, runningOf: load.of, epoch: 1 });
  const keyring = createKeyring();
  await keyring.load(jobsStore, undefined);
  work = {
    store: jobsStore,
    isProduction: false,
    parameters: await createParameters(jobsStore, 'jobs'),
    listeners: await createListeners(jobsStore),
    erasures: createErasures(jobsStore),
    fleet,
    nameMiner: () => {},
    hints,
    polls,
    load,
    keyring,
    waits: createWaits(),
    rests: createRests({ onOver: () => {} }),
    leases: createLeases(Buffer.alloc(32, 1)),
    seen: createSeen(),
    watch: createWatch(jobsStore),
    output: createOutput({ watch: createWatch(jobsStore), find: async () => undefined }),
    metrics: createJobMetrics(createMetrics('model'), polls.size),
    queuePosition: async () => null,
  };
  for (const miner of await allMiners(jobsStore.read)) if (miner.status === 'active') fleet.setMiner(miner);
  consumers.jobs = createJobsConsumers(work) as AnyConsumers;
};

export const openFiles = async (): Promise<void> => {
  const directory = scratchDirectory();
  const open = (service: Destination, migrations: typeof jobsMigrations) =>
    openStore({
      url: scratchDatabase(service, directory),
      service,
      migrations,
    });
  jobsStore = await open('jobs', jobsMigrations);
  paymentsStore = await open('payments', paymentsMigrations);
  deps = {
    parameters: await createParameters(paymentsStore, 'payments'),
    listeners: await createListeners(paymentsStore),
    now: () => clockMs,
  };
  consumers = { jobs: {}, payments: createPaymentsConsumers(deps) as AnyConsumers };
  await startJobs();
};
/** @throws when a balance does not agree with its transfers, or the whole is not nothing */
export const closeFiles = async (): Promise<void> => {
  expect((await auditAccounts(paymentsStore.read, 0, 1_000_000)).wrong).toEqual([]);
  work.polls.endAll();
  await Promise.all([await jobsStore.close(), await paymentsStore.close()]);
};

const files = (): Files => ({ jobs: jobsStore, payments: paymentsStore });
const storeOf = (service: Destination): Store => (service === 'jobs' ? jobsStore : paymentsStore);

/** A refusal is an answer like another; anything else that is thrown fails the test. */
const orRefused = async <T>(doing: Promise<T>): Promise<T | null> => {
  try {
    return await doing;
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
};
class Crash extends Error {}

const PAYER_FUNDS = 100_000;
const ACCOUNTS = ['payer', 'first', 'second'] as const;

/** One course of events: its people, its jobs, and the letters on their way. */
export const createWorld = async (run: number) => {
  const people = Object.fromEntries(ACCOUNTS.map((name) => [name, someone(['client', 'miner'])])) as Record<
    (typeof ACCOUNTS)[number],
    Caller
  >;
  const admin = someone(['admin']);
  const model = `model-${run}-${newId()}`;
  const jobIds: string[] = [];
  const leases: { leased: Leased; account: string; minerId: string }[] = [];
  const letters: Letter[] = [];
  const cursor: Record<Destination, number> = { jobs: 0, payments: 0 };
  const lastSaid = async (by: Destination, to: Destination): Promise<number> =>
    Math.max(
      0,
      ...(
        await storeOf(by).read.all(chassis.selectFrom('outbox').select('seq').where('destination', '=', to))
      ).map((row) => Number(row.seq)),
    );
  cursor.jobs = await lastSaid('payments', 'jobs');
  cursor.payments = await lastSaid('jobs', 'payments');

  /** Takes what was committed since to the post. */
  const collect = async (): Promise<void> => {
    for (const [by, to] of [
      ['jobs', 'payments'],
      ['payments', 'jobs'],
    ] as const) {
      const rows = await storeOf(by).read.all(
        chassis
          .selectFrom('outbox')
          .selectAll()
          .where('destination', '=', to)
          .where('seq', '>', cursor[to])
          .orderBy('seq'),
      );
      for (const row of rows) {
        cursor[to] = Number(row.seq);
        letters.push(...messagesOf(row).map(({ name, payload }) => ({ to, name, payload })));
      }
    }
  };
  const inJobs = <T>(fn: (trx: Trx) => T | Promise<T>): Promise<T> => jobsStore.transact('model', fn);
  const inPayments = <T>(fn: (trx: Trx) => T | Promise<T>): Promise<T> => paymentsStore.transact('model', fn);

  // The first account has two names.
  const miners: MinerOffer[] = (['first', 'first', 'second', 'payer'] as const).map((account) => ({
    miner_id: newId(),
    account_id: people[account].account_id,
    revision: 1,
    status: 'active',
    capabilities: ['llm_inference'],
    gpus: [],
    cuda_version: null,
    models: [model],
    region: null,
    price_per_job_minor: 0,
    concurrency: 8,
    reputation: 1,
  }));
  await inJobs(async (trx) => {
    for (const miner of miners) await minerChanged(trx, work, miner);
  });
  await inPayments(async (trx) => {
    const { account_id } = people.payer;
    for (const one of Object.values(people))
      await consumers.payments['gateway.account_created']?.(trx, {
        account_id: one.account_id,
        wallet_address: null,
      } as never);
    await creditByAdmin(trx, deps, admin, { account_id, amount_minor: PAYER_FUNDS, reason: 'model' });
  });

  const deliver = async (at: number, options: { isKept: boolean; dies: boolean }): Promise<void> => {
    const index = at % letters.length;
    const letter = letters[index];
    if (letter === undefined) return;
    try {
      await storeOf(letter.to).transact('deliver', async (trx) => {
        await consumers[letter.to][letter.name]?.(trx, letter.payload as never);
        if (options.dies) throw new Crash();
      });
      if (!options.isKept) letters.splice(index, 1);
      if (letter.name === 'jobs.requeued')
        await expectNobody(files(), letter.payload as Payload<'jobs.requeued'>);
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
  };
  const settleAll = async (): Promise<void> => {
    const due = await findUnsettled(paymentsStore.read, clockMs, 1_000);
    await Promise.all(due.map((id) => inPayments((trx) => settle(trx, deps, id))));
  };
  const jobAt = (at: number) => findJob(jobsStore.read, jobIds[at % jobIds.length] ?? '');
  const paymentAt = (at: number) => findPaymentOfJob(paymentsStore.read, jobIds[at % jobIds.length] ?? '');

  return {
    submit: async (amount: number | null, maxAttempts: number) => {
      const submission = JobSubmission.parse({
        job_type: 'llm_inference',
        parameters: { model, prompt: 'Why?' },
        max_attempts: maxAttempts,
        ...(amount === null ? {} : { payment_amount: amount / 100_000_000 }),
      });
      const job = await inJobs((trx) => submit(trx, work, people.payer, prepare(work, submission)));
      jobIds.push(job.id);
    },
    payLater: async (at: number, amount: number) =>
      orRefused(
        inPayments((trx) =>
          createPayment(trx, deps, people.payer, {
            job_id: jobIds[at % jobIds.length] ?? newId(),
            amount: amount / 100_000_000,
          }),
        ),
      ),
    lease: async (at: number, who: number) => {
      const job = await jobAt(at);
      const miner = miners[who % miners.length] as MinerOffer;
      if (job === undefined) return;
      const hanging = new AbortController();
      lastPoll = '';
      const answered = work.polls.wait(miner.miner_id, 1, 60_000, hanging.signal);
      const pollId = lastPoll;
      await inJobs((trx) =>
        startMatched(trx, work, { poll_id: pollId, miner_id: miner.miner_id, job_ids: [job.id] }),
      );
      hanging.abort();
      for (const leased of await answered)
        leases.push({ leased, account: miner.account_id, minerId: miner.miner_id });
    },
    report: async (at: number, kind: 'completed' | 'failed' | 'retryable', dies: boolean) => {
      const lease = leases[at % leases.length];
      if (lease === undefined) return;
      const { job } = lease.leased;
      const token = work.leases.seal({ job_id: job.id, miner_id: lease.minerId, attempt: job.attempt });
      const report =
        kind === 'completed'
          ? { job_id: job.id, lease: token, status: 'completed' as const, result: { text: 'because' } }
          : { job_id: job.id, lease: token, status: 'failed' as const, retryable: kind === 'retryable' };
      try {
        await orRefused(
          inJobs(async (trx) => {
            const verdict = await acceptReport(trx, work, await prepareReport(work, lease.account, report));
            if (dies) throw new Crash();
            return verdict;
          }),
        );
      } catch (error) {
        if (!(error instanceof Crash)) throw error;
      }
    },
    giveBack: async (at: number) => {
      const lease = leases[at % leases.length];
      if (lease !== undefined) await returnLeases(work, [lease.leased]);
    },
    lose: async (who: number) => {
      const miner = miners[who % miners.length] as MinerOffer;
      for (const status of ['inactive', 'active'] as const) {
        miner.revision += 1;
        await inJobs((trx) => minerChanged(trx, work, { ...miner, status }));
      }
    },
    cancel: async (at: number) => {
      const job = await jobAt(at);
      if (job !== undefined) await orRefused(inJobs((trx) => cancel(trx, work, job.id, job.client_id)));
    },
    passTime: async (at: number) => {
      const job = await jobAt(at);
      if (job === undefined) return;
      await inJobs(async (trx) => {
        await expire(trx, work, job.id, job.expires_at_ms);
        await timeOut(trx, work, job.id, job.deadline_at_ms ?? 0);
      });
    },
    refund: async (at: number, who: (typeof ACCOUNTS)[number] | 'operator') => {
      const payment = await paymentAt(at);
      if (payment === undefined) return;
      // Far enough for a wish that waits to be told again.
      clockMs += 2_500;
      const caller = who === 'operator' ? admin : people[who];
      await orRefused(inPayments((trx) => askForRefund(trx, deps, caller, payment.id, 'model')));
    },
    release: async (at: number) => {
      const payment = await paymentAt(at);
      if (payment !== undefined)
        await orRefused(inPayments((trx) => releaseByHand(trx, people.payer, payment.id)));
    },
    deadline: async (at: number) => {
      const payment = await paymentAt(at);
      if (payment?.expires_at_ms == null) return;
      const late = { ...deps, now: () => payment.expires_at_ms as number };
      await inPayments((trx) => passDeadline(trx, late, payment.id));
    },
    deliver,
    settleAll,
    restartJobs: async () => {
      work.polls.endAll();
      await startJobs();
    },
    collect,
    letters,

    /** Lets everything come to its end, in some order still. */
    quiesce: async (pick: () => number): Promise<void> => {
      for (let round = 0; round < 20; round += 1) {
        await collect();
        while (letters.length > 0) {
          await deliver(pick(), { isKept: false, dies: false });
          await collect();
        }
        await settleAll();
        await collect();
        if (letters.length > 0) continue;
        const open: NonNullable<Awaited<ReturnType<typeof findJob>>>[] = [];
        for (const id of jobIds) {
          const job = await findJob(jobsStore.read, id);
          if (job?.ended_at_ms === null) open.push(job);
        }
        if (open.length === 0) return;
        for (const job of open)
          await inJobs(async (trx) => {
            await expire(trx, work, job.id, job.expires_at_ms);
            await timeOut(trx, work, job.id, job.deadline_at_ms ?? 0);
          });
      }
      throw new Error('it did not come to rest');
    },

    check: () => checkMoney(files(), jobIds, people.payer.account_id),
  };
};
export type World = Awaited<ReturnType<typeof createWorld>>;
