import { newId } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { onlyFor, type Stack, startStack, workFor } from './stack.fixture.ts';

const HOUR = 3_600_000;

const wallClock = Date.now;
/** The wall clock of this process goes on, so much ahead. */
const setAhead = (ms: number) => vi.spyOn(Date, 'now').mockImplementation(() => wallClock() + ms);
const putRight = () => vi.restoreAllMocks();

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterEach(putRight);
afterAll(() => stack.stop());

/** A job that waits, its money held. */
const paidJob = async (ttlSeconds: number) => {
  const client = stack.client();
  const job = await client.submit({ ...workFor(newId()), payment_amount: 1, ttl_seconds: ttlSeconds });
  await stack.peers.send(
    'payments.escrowed',
    { payment_id: newId(), job_id: job.id, amount_minor: 100_000_000 },
    'jobs',
  );
  await eventually(async () => (await client.get(job.id)).payment_status === 'escrowed');
  return { id: job.id, client };
};
type PaidJob = Awaited<ReturnType<typeof paidJob>>;

/** It ends by itself, and payments hears that nothing is to be paid. */
const expires = async ({ id, client }: PaidJob) => {
  await eventually(async () => (await client.get(id)).status === 'expired');
  const ended = await stack.heard(stack.toPayments, 'jobs.ended', ({ job_id }) => job_id === id);
  expect(ended.status).toBe('expired');
};

test('after a clock that ran an hour ahead was put right, a job has its own times', async () => {
  setAhead(HOUR);
  newId();
  putRight();
  const job = await stack.client().submit({ ...workFor('nobody'), ttl_seconds: 2 });
  const aheadMs = (time: string) => Date.parse(time) - Date.now();
  expect(aheadMs(job.created_at)).toBeLessThan(1_000);
  expect(aheadMs(job.expires_at)).toBeLessThan(3_000);
});

test('a service started an hour ahead: when the clock is put right, a job ends by its ttl and its money is free', async () => {
  setAhead(HOUR);
  await stack.restartJobs();
  const job = await paidJob(2);
  putRight();
  await expires(job);
});

test('the clock is put right and the service restarted: a job written an hour ahead ends by its ttl', async () => {
  setAhead(HOUR);
  await stack.restartJobs();
  const job = await paidJob(2);
  putRight();
  await stack.restartJobs();
  await expires(job);
});

test('...and so does an attempt that started an hour ahead', async () => {
  const name = newId();
  setAhead(HOUR);
  await stack.restartJobs();
  const miner = await stack.miner(onlyFor(name));
  const client = stack.client();
  const job = await client.submit({ ...workFor(name), timeout_seconds: 2, max_attempts: 1 });
  expect(await miner.poll()).toHaveLength(1);
  putRight();
  await stack.restartJobs();
  await eventually(async () => (await client.get(job.id)).status === 'expired');
});

test('the clock jumps an hour ahead while jobs wait and run: none expires, no lease is lost', async () => {
  const name = newId();
  const miner = await stack.miner(onlyFor(name));
  const client = stack.client();
  const running = await client.submit({ ...workFor(name), timeout_seconds: 300 });
  expect(await miner.poll()).toHaveLength(1);
  const waiting = await paidJob(300);
  setAhead(HOUR);
  // Its end shows that the timers looked after the jump.
  await expires(await paidJob(1));
  expect((await client.get(running.id)).status).toBe('running');
  expect((await waiting.client.get(waiting.id)).status).toBe('pending');
});

test('the clock jumps an hour back while a job waits: it ends by its ttl and its money is free', async () => {
  const job = await paidJob(2);
  setAhead(-HOUR);
  await expires(job);
});
