import {
  builder,
  type Consumers,
  connectRedis,
  createLog,
  createMetrics,
  createPostal,
  openStore,
  sendAs,
  startInbox,
  startRelays,
  startTicker,
  type Trx,
} from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import { TEST_PREFIX, TEST_SECRET, tables } from '@aitbc/testing';
import { fastClock, type PlannedJob, readPlan } from './plan.ts';

// Stands for the jobs service: tells payments of every job and decides over each wish for its money, through a file, an
// inbox and a relay of its own, as jobs does.
const plan = readPlan(process.env.STORM_PLAN as string);
const log = createLog('storm-jobs', 'silent');
const db = builder<{
  told: { what: string };
  job: { id: string; payment_id: string | null; is_started: number; ended: string | null };
  resolved: { payment_id: string; job_id: string; kind: string };
}>();
const send = sendAs<'jobs'>();
const now = fastClock(plan);
const planned = new Map(plan.jobs.map((job) => [job.job_id, job]));

const store = await openStore({
  url: process.env.STORM_DATABASE as string,
  service: 'jobs',
  migrations: tables(
    'CREATE TABLE told (what TEXT PRIMARY KEY) STRICT',
    `CREATE TABLE job (id TEXT PRIMARY KEY, payment_id TEXT, is_started INTEGER NOT NULL DEFAULT 0,
       ended TEXT) STRICT`,
    'CREATE TABLE resolved (payment_id TEXT PRIMARY KEY, job_id TEXT NOT NULL, kind TEXT NOT NULL) STRICT',
  ),
});

const jobOf = async (trx: Trx, id: string) => {
  await trx.run(
    db
      .insertInto('job')
      .values({ id, payment_id: null, is_started: 0, ended: null })
      .onConflict((c) => c.doNothing()),
  );
  const row = await trx.get(db.selectFrom('job').selectAll().where('id', '=', id));
  if (row === undefined) throw new Error(`no job ${id}`);
  return row;
};

const endJob = async (
  trx: Trx,
  plan_: PlannedJob,
  status: Payload<'jobs.ended'>['status'],
): Promise<void> => {
  const job = await jobOf(trx, plan_.job_id);
  if (job.ended !== null) return;
  const isStarted = job.is_started === 1 || status === 'completed';
  const isPriced = status === 'completed' && job.payment_id !== null && job.is_started === 1;
  const ended: Payload<'jobs.ended'> = {
    job_id: plan_.job_id,
    account_id: plan.payers[plan_.payer]?.account_id as string,
    status,
    miner_id: isStarted ? plan_.miner_id : null,
    miner_account_id: isStarted ? (plan.miners[plan_.miner]?.account_id as string) : null,
    started: isStarted,
    ended_at_ms: now(),
    payment_id: isPriced ? job.payment_id : null,
    price_minor: isPriced ? plan_.amount_minor : 0,
  };
  await trx.run(
    db
      .updateTable('job')
      .set({ ended: JSON.stringify(ended) })
      .where('id', '=', plan_.job_id),
  );
  await send(trx, 'jobs.ended', ended);
};

const consumers: Consumers<'jobs'> = {
  'dispatch.matched': () => {},
  'dispatch.capability_missing': () => {},
  'miners.changed': () => {},
  'miners.attempts_abandoned': () => {},
  'governance.parameter_changed': () => {},
  'gateway.listeners_changed': () => {},
  'payments.refused': (_trx, { job_id }) => {
    throw new Error(`job ${job_id} was refused: the storm has money for all`);
  },
  'payments.escrowed': async (trx, { job_id, payment_id }) => {
    await jobOf(trx, job_id);
    await trx.run(db.updateTable('job').set({ payment_id }).where('id', '=', job_id));
  },
  'payments.resolved': async (trx, { payment_id, job_id, kind }) => {
    await trx.run(db.insertInto('resolved').values({ payment_id, job_id, kind }));
  },
  'payments.refund_requested': async (trx, { payment_id, job_id, request_id, actor }) => {
    const job = await jobOf(trx, job_id);
    const refuse = (code: Payload<'jobs.refund_refused'>['code']) =>
      send(trx, 'jobs.refund_refused', { payment_id, job_id, request_id, code, until_ms: null });
    if (job.ended !== null) {
      const ended: Payload<'jobs.ended'> = JSON.parse(job.ended);
      await send(trx, 'jobs.ended', ended);
      if (ended.payment_id === payment_id) await refuse('JOB_COMPLETED');
    } else if (job.is_started === 1 && (actor === 'payer' || actor === 'deadline'))
      await refuse('JOB_RUNNING');
    else if (job.is_started === 0 && actor === 'payee') await refuse('STALE_LEASE');
    else await endJob(trx, planned.get(job_id) as PlannedJob, actor === 'payee' ? 'failed' : 'cancelled');
  },
};

const redis = connectRedis(plan.redisUrl, log);
const metrics = createMetrics('storm-jobs');
const postal = createPostal({ SECRET_KEY: TEST_SECRET, REDIS_PREFIX: TEST_PREFIX });
await startRelays({ service: 'jobs', store, redis, postal, destinations: ['payments'], log, metrics });
const inbox = startInbox({
  service: 'jobs',
  store,
  redis,
  redisUrl: plan.redisUrl,
  postal,
  consumers,
  log,
  metrics,
  onStuck: () => process.exit(1),
});
// Acknowledges what it heard, and tries dead letters again: without it payments would say all of it again and again.
startTicker({ schedule: inbox.schedule, leads: store.leads, log, metrics });

type Step = {
  what: string;
  at_ms: number;
  job: PlannedJob;
  needsFunds: boolean;
  tell: (trx: Trx) => void | Promise<void>;
};
const stepsOf = (job: PlannedJob): Step[] => {
  const { job_id, miner_id, way } = job;
  const account_id = plan.payers[job.payer]?.account_id as string;
  const miner_account_id = plan.miners[job.miner]?.account_id as string;
  const submitted: Step = {
    what: `submitted ${job_id}`,
    at_ms: job.submit_at_ms,
    job,
    needsFunds: false,
    tell: (trx) =>
      send(trx, 'jobs.submitted', {
        job_id,
        account_id,
        credential_id: null,
        spend_cap_minor: null,
        payment_amount_minor: job.amount_minor,
        submitted_at_ms: now(),
      }),
  };
  const started: Step = {
    what: `started ${job_id}`,
    at_ms: job.submit_at_ms + 500,
    job,
    // Funds first, as jobs has it. What is heard backwards was never leased for money.
    needsFunds: way !== 'is heard backwards',
    tell: async (trx) => {
      if ((await jobOf(trx, job_id)).ended !== null) return;
      await trx.run(db.updateTable('job').set({ is_started: 1 }).where('id', '=', job_id));
      await send(trx, 'jobs.started', {
        job_id,
        miner_id,
        miner_account_id,
        attempt: 1,
        deadline_at_ms: now() + 60_000,
      });
    },
  };
  const ended: Step = {
    what: `ended ${job_id}`,
    at_ms: job.fire_at_ms + (way === 'runs past the deadline and completes' ? 2_500 : 0),
    job,
    needsFunds: way !== 'is heard backwards' && way !== 'is cancelled before it starts',
    tell: (trx) =>
      endJob(
        trx,
        job,
        way === 'fails' ? 'failed' : way === 'is cancelled before it starts' ? 'cancelled' : 'completed',
      ),
  };
  if (way === 'is forgotten') return [submitted];
  if (way === 'is cancelled before it starts') return [submitted, ended];
  if (way === 'is heard backwards')
    return [{ ...ended, at_ms: job.submit_at_ms }, started, { ...submitted, at_ms: job.fire_at_ms - 500 }];
  return [submitted, started, ended];
};

const told = new Set((await store.read.all(db.selectFrom('told').select('what'))).map((row) => row.what));
const waiting = plan.jobs
  .flatMap(stepsOf)
  .filter((step) => !told.has(step.what))
  .sort((a, b) => a.at_ms - b.at_ms);
/** How long a step that waits for its funds, or for the step before it, is left alone. */
const LATER_MS = 50;
console.log('ready');
for (;;) {
  while (waiting[0] !== undefined && waiting[0].at_ms <= Date.now()) {
    const step = waiting.shift() as Step;
    const isTold = await store.transact('tell', async (trx) => {
      const job = await jobOf(trx, step.job.job_id);
      const isEarly = step.what.startsWith('ended') && step.job.way !== 'is cancelled before it starts';
      const waits = step.needsFunds && (job.payment_id === null || (isEarly && job.is_started === 0));
      if (waits && job.ended === null) return false;
      await trx.run(db.insertInto('told').values({ what: step.what }));
      await step.tell(trx);
      return true;
    });
    if (isTold) continue;
    waiting.push({ ...step, at_ms: Date.now() + LATER_MS });
    waiting.sort((a, b) => a.at_ms - b.at_ms);
  }
  await new Promise((resolve) => setTimeout(resolve, 10));
}
