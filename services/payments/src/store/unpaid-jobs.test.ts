import { openStore, type Store } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { scratchDatabase } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrations } from '../../migrations/index.ts';
import { dropUnpaidJobs, findJob, noteJobEnds, noteJobOwners, unpaidJobsDue } from './jobs.ts';
import { addPayments } from './payments.ts';

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
    await noteJobOwners(trx, [{ id, owner_account_id: 'somebody' }]);
    if (isPaid)
      await addPayments(trx, [
        {
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
          created_at_ms: 1,
          updated_at_ms: 1,
          expires_at_ms: null,
        },
      ]);
    if (ended_at_ms !== null)
      await noteJobEnds(trx, [
        {
          id,
          owner_account_id: 'somebody',
          started_attempt: 0,
          miner_id: null,
          miner_account_id: null,
          ended_status: 'expired',
          ended_at_ms,
          ended_payment_id: null,
        },
      ]);
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
