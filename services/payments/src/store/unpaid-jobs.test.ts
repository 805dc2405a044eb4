import { openStore, type Store } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { scratchDatabase } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrations } from '../../migrations/index.ts';
import { dropUnpaidJobs, findJob, noteJobEnded, noteJobOwner, unpaidJobsDue } from './jobs.ts';
import { addPayment } from './payments.ts';

let store: Store;
beforeAll(async () => {
  store = await openStore({
    url: scratchDatabase('payments'),
    service: 'payments',
    migrations,
    takesTurns: true,
  });
});
afterAll(() => store.close());

const MINT = 1;
const job = async (ended_at_ms: number | null, isPaid: boolean): Promise<string> => {
  const id = newId();
  await store.transact('test', async (trx) => {
    await noteJobOwner(trx, id, 'somebody');
    if (isPaid)
      await addPayment(trx, {
        id: newId(),
        job_id: id,
        order_id: null,
        payer: MINT,
        escrow: null,
        credential_id: null,
        amount_minor: 1,
        fee_basis_points: 0,
        status: 'failed',
        failure_code: 'INSUFFICIENT_FUNDS',
        failure_message: 'no',
        now_ms: 1,
        expires_at_ms: null,
      });
    if (ended_at_ms !== null)
      await noteJobEnded(trx, {
        id,
        account_id: 'somebody',
        status: 'expired',
        miner_id: null,
        miner_account_id: null,
        started: 0,
        ended_at_ms,
        payment_id: null,
      });
  });
  return id;
};

test('of jobs that ended long ago those go that nobody paid for, and the others are looked at once', async () => {
  const [unpaid, paid, young, open] = [
    await job(10, false),
    await job(20, true),
    await job(1_000, false),
    await job(null, false),
  ];
  const due = () => unpaidJobsDue(store.read, 500, 10);
  const old = await due();
  expect(old.map(({ id }) => id)).toEqual([unpaid, paid]);
  expect((await unpaidJobsDue(store.read, 500, 1)).map(({ id }) => id)).toEqual([unpaid]);
  // Two processes may do it side by side.
  for (let n = 0; n < 2; n++) await store.transact('test', (trx) => dropUnpaidJobs(trx, old));
  const left = await Promise.all([unpaid, paid, young, open].map((id) => findJob(store.read, id)));
  expect(left.map((row) => row?.id)).toEqual([undefined, paid, young, open]);
  expect(await due()).toEqual([]);
});
