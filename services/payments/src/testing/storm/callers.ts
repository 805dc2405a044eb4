import { type Caller, createClient, type Payment, routes } from '@aitbc/contracts';
import { headersOf } from '../headers.ts';
import { type PlannedJob, readPlan } from './plan.ts';

// Payers, payees and the operator, all asking for what they want at once, again and again until it is over.
const plan = readPlan(process.env.STORM_PLAN as string);
const AT_ONCE = 16;

const as = (caller: Caller) => createClient(plan.url, headersOf(caller));
const payers = plan.payers.map(as);
const miners = plan.miners.map(as);
const operator = as(plan.admin);

const fire = async (job: PlannedJob, payment: Payment): Promise<void> => {
  const params = { payment_id: payment.id };
  const payer = payers[job.payer] as (typeof payers)[number];
  const miner = miners[job.miner] as (typeof miners)[number];
  const release = (client: typeof payer) => client.call(routes.payments.release, { params, body: {} });
  const refund = (client: typeof payer) =>
    client.call(routes.payments.refund, { params, body: { reason: 'storm' } });
  const asked = [release(payer), refund(payer), release(operator)];
  if (job.way === 'completes and is given back') asked.push(refund(miner), refund(operator));
  await Promise.allSettled(asked);
};

const attend = async (job: PlannedJob): Promise<boolean> => {
  const payer = payers[job.payer] as (typeof payers)[number];
  const found = await payer.call(routes.payments.getByJob, { params: { job_id: job.job_id } });
  if (!found.ok) return false;
  if (found.body.status !== 'escrowed') return true;
  await fire(job, found.body);
  return false;
};

const waiting = [...plan.jobs];
console.log('ready');
const work = async (): Promise<void> => {
  while (waiting.length > 0) {
    // A little before its deadline and its end, so that all of it comes together.
    const at = waiting.findIndex((job) => job.fire_at_ms - 50 <= Date.now());
    const [job] = at < 0 ? [] : waiting.splice(at, 1);
    if (job === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      continue;
    }
    // Away or not there yet: it comes again.
    const isOver = await attend(job).catch(() => false);
    if (!isOver) waiting.push({ ...job, fire_at_ms: Date.now() + 200 });
  }
};
await Promise.all(Array.from({ length: AT_ONCE }, work));
