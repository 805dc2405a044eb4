import { databasePath, restoreFile } from '@aitbc/chassis';
import { newId, type Payload } from '@aitbc/contracts';
import { eventually, sqliteOnly } from '@aitbc/testing';
import { afterAll, beforeAll, expect } from 'vitest';
import { onlyFor, type Stack, startStack, workFor } from './stack.fixture.ts';

const { test } = sqliteOnly('copies of files, and what comes of putting one back');

// A copy of the file is put back. What happened to its jobs since then stands in other services' files.

const PRICE_MINOR = 100_000_000;
let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const putBack = () =>
  stack.restartJobs((url) => {
    restoreFile(databasePath(url), databasePath(url));
  });
/** A paid job whose escrow stands. */
const paidJob = async (name: string) => {
  const client = stack.client();
  const { id } = await client.submit({ ...workFor(name), payment_amount: 1 });
  const escrow = { payment_id: newId(), job_id: id, amount_minor: PRICE_MINOR };
  await stack.peers.send('payments.escrowed', escrow, 'jobs');
  await eventually(async () => (await client.get(id)).payment_status === 'escrowed');
  return { id, client, escrow };
};
const asksFor = (jobId: string) => (payload: Payload<'jobs.payments_missed'>) =>
  payload.job_ids.includes(jobId);
const asked = (jobId: string) => stack.heard(stack.toPayments, 'jobs.payments_missed', asksFor(jobId));

test('a paid job that waits in the copy runs only once payments has said again that its money is held', async () => {
  const job = await paidJob('waits');
  const unpaid = await stack.client().submit(workFor('waits'));
  await putBack();
  await asked(job.id);
  const miner = await stack.miner(onlyFor('waits'));
  // What nobody pays for goes on as before.
  expect((await miner.take()).id).toBe(unpaid.id);
  expect(await miner.poll({ wait_seconds: 1 })).toEqual([]);
  expect(await job.client.get(job.id)).toMatchObject({ status: 'pending', payment_status: 'pending' });
  await stack.peers.send('payments.escrowed', job.escrow, 'jobs');
  expect((await miner.take()).id).toBe(job.id);
});

test('one that has run and was paid since the copy does not run again', async () => {
  const job = await paidJob('is over');
  await putBack();
  await asked(job.id);
  await stack.peers.send(
    'payments.resolved',
    {
      payment_id: job.escrow.payment_id,
      job_id: job.id,
      kind: 'released',
      payer_account_id: job.client.caller.account_id,
      payee_account_id: newId(),
      miner_id: newId(),
      earned_minor: PRICE_MINOR,
      is_repeat: true,
    },
    'jobs',
  );
  await eventually(async () => (await job.client.get(job.id)).status === 'failed');
  expect(await job.client.get(job.id)).toMatchObject({
    attempt: 0,
    error: { code: 'PAYMENT_RELEASED' },
    payment_status: 'released',
  });
});

test('a paid one that ran in the copy waits again, and its old lease is stale', async () => {
  const job = await paidJob('ran');
  const miner = await stack.miner(onlyFor('ran'));
  const lease = await miner.take();
  await putBack();
  await asked(job.id);
  expect(await miner.complete(lease)).toMatchObject({
    ok: false,
    body: { error: { code: 'STALE_LEASE' } },
  });
  expect(await job.client.get(job.id)).toMatchObject({ status: 'pending', payment_status: 'pending' });
});

test('a plain restart asks nothing and holds nothing back', async () => {
  const job = await paidJob('stays');
  await stack.restartJobs();
  const miner = await stack.miner(onlyFor('stays'));
  expect((await miner.take()).id).toBe(job.id);
  const questions = stack.toPayments.filter(
    (message) => message.name === 'jobs.payments_missed' && asksFor(job.id)(message.payload),
  );
  expect(questions).toEqual([]);
});
