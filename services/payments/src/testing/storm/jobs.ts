import {
  builder,
  chassisMigrations,
  connectRedis,
  createLog,
  createMetrics,
  createPostal,
  openStore,
  sendAs,
  startRelay,
  type Trx,
} from '@aitbc/chassis';
import { TEST_PREFIX, TEST_SECRET } from '@aitbc/testing';
import { sql } from 'kysely';
import { fastClock, type PlannedJob, readPlan } from './plan.ts';

// Stands for the jobs service: tells payments of every job, through a file and a relay of its own, as jobs does.
const plan = readPlan(process.env.STORM_PLAN as string);
const log = createLog('storm-jobs', 'silent');
const db = builder<{ told: { what: string } }>();
const send = sendAs<'jobs'>();
const now = fastClock(plan);

const store = await openStore({
  url: process.env.STORM_FILE as string,
  service: 'jobs',
  migrations: {
    ...chassisMigrations,
    '0001-told': {
      up: async (kysely) => {
        await sql.raw('CREATE TABLE told (what TEXT PRIMARY KEY) STRICT').execute(kysely);
      },
    },
  },
});
const redis = connectRedis(plan.redisUrl, log);
startRelay({
  service: 'jobs',
  store,
  redis,
  postal: createPostal({ SECRET_KEY: TEST_SECRET, REDIS_PREFIX: TEST_PREFIX }),
  destinations: ['payments'],
  log,
  metrics: createMetrics('storm-jobs'),
});

type Step = { what: string; at_ms: number; tell: (trx: Trx) => void };
const stepsOf = (job: PlannedJob): Step[] => {
  const { job_id, miner_id, way } = job;
  const account_id = plan.payers[job.payer]?.account_id as string;
  const miner_account_id = plan.miners[job.miner]?.account_id as string;
  const isStarted = way !== 'is cancelled before it starts' && way !== 'is forgotten';
  const submitted: Step = {
    what: `submitted ${job_id}`,
    at_ms: job.submit_at_ms,
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
    tell: (trx) =>
      send(trx, 'jobs.started', {
        job_id,
        miner_id,
        miner_account_id,
        attempt: 1,
        deadline_at_ms: now() + 60_000,
      }),
  };
  const ended: Step = {
    what: `ended ${job_id}`,
    at_ms: job.fire_at_ms + (way === 'runs past the deadline and completes' ? 2_500 : 0),
    tell: (trx) =>
      send(trx, 'jobs.ended', {
        job_id,
        account_id,
        status: way === 'fails' ? 'failed' : isStarted ? 'completed' : 'cancelled',
        miner_id: isStarted ? miner_id : null,
        miner_account_id: isStarted ? miner_account_id : null,
        started: isStarted,
        ended_at_ms: now(),
      }),
  };
  if (way === 'is forgotten') return [submitted];
  if (way === 'is cancelled before it starts') return [submitted, ended];
  if (way === 'is heard backwards')
    return [{ ...ended, at_ms: job.submit_at_ms }, started, { ...submitted, at_ms: job.fire_at_ms - 500 }];
  return [submitted, started, ended];
};

const told = new Set(store.read.all(db.selectFrom('told').select('what')).map((row) => row.what));
const waiting = plan.jobs
  .flatMap(stepsOf)
  .filter((step) => !told.has(step.what))
  .sort((a, b) => a.at_ms - b.at_ms);
console.log('ready');
for (;;) {
  while (waiting[0] !== undefined && waiting[0].at_ms <= Date.now()) {
    const step = waiting.shift() as Step;
    await store.transact('tell', (trx) => {
      trx.run(db.insertInto('told').values({ what: step.what }));
      step.tell(trx);
    });
  }
  await new Promise((resolve) => setTimeout(resolve, 10));
}
