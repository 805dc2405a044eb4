import {
  type Client,
  createChainChecker,
  escrowAddress,
  isIncluded,
  ledgerAddress,
  PARAMETERS,
  routes,
  SYSTEM_ADDRESSES,
} from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { verifyLedger } from '../scripts/verify.ts';
import {
  type Coordinator,
  embedding,
  must,
  passes,
  refusal,
  registerMiner,
  STARTING_MS,
  startCoordinator,
  takeWork,
} from './coordinator.ts';

const { jobs, payments } = routes;
let coordinator: Coordinator;
let payer: { id: string; key: string; caller: Client };
let owner: { id: string; key: string; caller: Client };
let minerId: string;

beforeAll(async () => {
  coordinator = await startCoordinator();
  payer = await coordinator.newAccount(['client']);
  owner = await coordinator.newAccount(['miner']);
  minerId = (await registerMiner(owner.caller, { price_per_job: 0.5 })).id;
}, STARTING_MS);
afterAll(() => coordinator?.stop());

const credit = (account_id: string, amount: number) =>
  eventually(async () =>
    must(
      await coordinator.admin.call(payments.credit, {
        params: { account_id },
        body: { amount, reason: 'to pay with' },
        idempotencyKey: `credit-${account_id}-${amount}`,
      }),
    ),
  );
const balanceOf = async ({ id, caller }: { id: string; caller: Client }) => {
  const { balance, available, held } = must(await caller.call(payments.balance, { params: { user_id: id } }));
  return { balance, available, held };
};
const addressBalance = async (address: string) => {
  const answer = await coordinator.anyone.call(payments.address, { params: { address } });
  return answer.ok ? answer.body.balance : 0;
};
const submit = async (input: string, more: object) =>
  must(await payer.caller.call(jobs.submit, { body: embedding(input, more) }));
const job = async (job_id: string) => must(await payer.caller.call(jobs.get, { params: { job_id } }));
const paymentOf = async (job_id: string, caller = payer.caller) =>
  must(await caller.call(payments.getByJob, { params: { job_id } }));
const resolved = (job_id: string, status: string) =>
  eventually(async () => {
    const payment = await paymentOf(job_id);
    expect(payment.status).toBe(status);
    return payment;
  });

const FEE = PARAMETERS.platform_fee_basis_points.default / 10_000;

test('a completed job pays its miner from escrow, less the fee, and the ledger proves it to anyone', async () => {
  const platformBefore = await addressBalance(SYSTEM_ADDRESSES.platform);
  const treasuryBefore = await addressBalance(SYSTEM_ADDRESSES.treasury);
  await credit(payer.id, 100);
  expect(await balanceOf(payer)).toEqual({ balance: 100, available: 100, held: 0 });

  const submitted = await submit('for money', { payment_amount: 8 });
  expect(submitted).toMatchObject({ payment_amount: 8, payment_status: 'pending' });
  const [work] = await takeWork(owner.caller, minerId);
  expect(work?.id).toBe(submitted.id);
  // Funds first, dispatch after: with the job in a miner's hands they stand in escrow.
  expect(await job(submitted.id)).toMatchObject({ status: 'running', payment_status: 'escrowed' });
  expect(await balanceOf(payer)).toEqual({ balance: 100, available: 92, held: 8 });
  const held = await paymentOf(submitted.id);
  expect(held).toMatchObject({ payer_id: payer.id, amount: 8, status: 'escrowed', failure: null });
  expect(held.escrow_address).toBe(escrowAddress(held.id));
  expect(await addressBalance(held.escrow_address)).toBe(8);

  // Not before the job is done.
  const early = await payer.caller.call(payments.release, { params: { payment_id: held.id }, body: {} });
  expect(refusal(early)).toBe('409 JOB_NOT_COMPLETED');

  const report = {
    job_id: submitted.id,
    lease: work?.lease as string,
    status: 'completed' as const,
    result: [1],
  };
  must(await owner.caller.call(jobs.result, { body: report }));
  const payment = await resolved(submitted.id, 'released');
  expect(payment).toMatchObject({
    payee_id: owner.id,
    amount: 8,
    fee: 8 * FEE,
    refunded_amount: 0,
    released_at: expect.any(String),
    refunded_at: null,
  });
  expect(await balanceOf(payer)).toEqual({ balance: 92, available: 92, held: 0 });
  const earned = 8 - 8 * FEE;
  expect(await balanceOf(owner)).toEqual({ balance: earned, available: earned, held: 0 });
  expect(await addressBalance(held.escrow_address)).toBe(0);
  await passes(async () => {
    const fees =
      (await addressBalance(SYSTEM_ADDRESSES.platform)) -
      platformBefore +
      (await addressBalance(SYSTEM_ADDRESSES.treasury)) -
      treasuryBefore;
    expect(fees).toBeCloseTo(8 * FEE, 8);
  });
  await passes(async () => {
    expect(await job(submitted.id)).toMatchObject({ status: 'completed', payment_status: 'released' });
    const { items } = must(await owner.caller.call(routes.miners.me, {}));
    expect(items[0]).toMatchObject({ earnings: earned, jobs_completed: 1 });
  });

  // A second time, whoever asks: the same end.
  const again = await payer.caller.call(payments.release, {
    params: { payment_id: payment.id },
    body: {},
  });
  expect(must(again)).toMatchObject({ status: 'released', transaction_hash: payment.transaction_hash });
  const refund = await coordinator.admin.call(payments.refund, {
    params: { payment_id: payment.id },
    body: { reason: 'no' },
  });
  expect(refusal(refund)).toBe('409 JOB_COMPLETED');

  // The ledger, as anyone sees it.
  const hash = payment.transaction_hash as string;
  const { anyone } = coordinator;
  const proof = await eventually(async () => must(await anyone.call(payments.proof, { params: { hash } })));
  const transfer = must(await anyone.call(payments.transaction, { params: { hash } }));
  expect(transfer).toMatchObject({
    kind: 'release',
    from: held.escrow_address,
    to: ledgerAddress(owner.id),
    value: earned,
    block_height: proof.block_height,
  });
  const block = must(await anyone.call(payments.block, { params: { height: proof.block_height } as never }));
  expect(block).toMatchObject({ hash: proof.block_hash, merkle_root: proof.merkle_root });
  const bytes = (hex: string) => Buffer.from(hex, 'hex');
  const path = proof.path.map(bytes);
  const included = (index: number) =>
    isIncluded(bytes(hash), index, proof.tx_count, path, bytes(block.merkle_root));
  expect(included(proof.index)).toBe(true);
  expect(included(proof.index + 1)).toBe(false);

  const kinds = must(
    await anyone.call(payments.transactions, { query: { address: held.escrow_address, limit: 10 } }),
  ).items.map(({ kind }) => kind);
  expect([...kinds].sort()).toEqual(['fee', 'hold', 'release']);

  // The signed statement of the payment, checked offline.
  const statement = await eventually(async () => {
    const answer = must(await payer.caller.call(payments.receipt, { params: { payment_id: payment.id } }));
    expect(answer.claims.block_height).toBe(proof.block_height);
    return answer;
  });
  const keys = must(await anyone.call(payments.keys, {})) as unknown as JSONWebKeySet;
  const { payload } = await compactVerify(statement.proof, createLocalJWKSet(keys));
  expect(JSON.parse(new TextDecoder().decode(payload))).toEqual(statement.claims);
  expect(statement.claims).toMatchObject({
    payer: { account_id: payer.id, address: ledgerAddress(payer.id) },
    payee: { account_id: owner.id, address: ledgerAddress(owner.id) },
    amount: 8,
    earned,
    fee: 8 * FEE,
    refunded: 0,
  });
});

test('the whole chain is right from its first block on, and one changed byte shows', async () => {
  const verdict = await eventually(async () => {
    const checked = await verifyLedger({ url: coordinator.url, from: 0 });
    expect(checked.blocks).toBeGreaterThan(0);
    return checked;
  });
  expect(verdict.wrong).toBeNull();
  console.log(`chain: ${verdict.blocks} blocks, ${verdict.transactions} transactions, all proofs right`);

  const { items } = must(
    await coordinator.anyone.call(payments.blocks, { query: { order: 'oldest', limit: 10 } }),
  );
  const { keys } = must(await coordinator.anyone.call(payments.keys, {}));
  const sealed = ({ timestamp, ...block }: (typeof items)[number]) => ({
    ...block,
    timestamp_ms: Date.parse(timestamp),
  });
  for (const [field, value] of Object.entries({
    tx_count: 1_000,
    merkle_root: 'ab'.repeat(32),
    timestamp: '2020-01-01T00:00:00.000Z',
  })) {
    const changed = { ...(items[0] as (typeof items)[number]), [field]: value };
    expect(createChainChecker(keys).startAfter(sealed(changed))).toBe(
      'hash is not the SHA-256 of the header',
    );
  }
  expect(createChainChecker(keys).startAfter(sealed(items[0] as (typeof items)[number]))).toBeNull();
});

test('a failed job gives the money back', async () => {
  const before = await balanceOf(payer);
  const { id } = await submit('will fail', { payment_amount: 3, max_attempts: 1 });
  const [work] = await takeWork(owner.caller, minerId);
  const error = { code: 'BROKEN', message: 'a test said so' };
  const report = { job_id: id, lease: work?.lease as string, status: 'failed' as const, error };
  must(await owner.caller.call(jobs.result, { body: report }));
  expect(await resolved(id, 'refunded')).toMatchObject({ refunded_amount: 3, released_at: null });
  expect(await balanceOf(payer)).toEqual(before);
  await passes(async () => {
    expect(await job(id)).toMatchObject({ status: 'failed', payment_status: 'refunded' });
  });
});

test('a cancelled job gives the money back, waiting or running', async () => {
  const before = await balanceOf(payer);
  const waiting = await submit('cancelled while it waits', {
    payment_amount: 2,
    constraints: { region: 'nowhere' },
  });
  await passes(async () => {
    expect((await job(waiting.id)).payment_status).toBe('escrowed');
  });
  must(await payer.caller.call(jobs.cancel, { params: { job_id: waiting.id } }));
  await resolved(waiting.id, 'refunded');

  const running = await submit('cancelled while it runs', { payment_amount: 2 });
  await takeWork(owner.caller, minerId);
  must(await payer.caller.call(jobs.cancel, { params: { job_id: running.id } }));
  await resolved(running.id, 'refunded');

  // At once: the hold and the cancel meet each other on the way.
  const raced = await Promise.all(
    Array.from({ length: 10 }, async (_, index) => {
      const made = await submit(`cancelled at once ${index}`, {
        payment_amount: 1,
        constraints: { region: 'nowhere' },
      });
      must(await payer.caller.call(jobs.cancel, { params: { job_id: made.id } }));
      return made;
    }),
  );
  for (const { id } of raced) await resolved(id, 'refunded');
  expect(await balanceOf(payer)).toEqual(before);
});

test('a job that never started in its time expires and gives the money back', async () => {
  const before = await balanceOf(payer);
  const { id } = await submit('for nobody', {
    payment_amount: 2,
    ttl_seconds: 1,
    constraints: { region: 'nowhere' },
  });
  await resolved(id, 'refunded');
  expect(await job(id)).toMatchObject({ status: 'expired', error: { code: 'EXPIRED' } });
  expect(await balanceOf(payer)).toEqual(before);
});

test('without the money the job fails and no miner sees it', async () => {
  const poor = await coordinator.newAccount(['client']);
  const body = embedding('more than there is', { payment_amount: 1 });
  const { id } = must(await poor.caller.call(jobs.submit, { body }));
  await passes(async () => {
    const failed = must(await poor.caller.call(jobs.get, { params: { job_id: id } }));
    expect(failed).toMatchObject({
      status: 'failed',
      attempt: 0,
      error: { code: 'INSUFFICIENT_FUNDS' },
      payment_status: 'failed',
    });
  });
  const payment = await paymentOf(id, poor.caller);
  expect(payment).toMatchObject({ status: 'failed', failure: { code: 'INSUFFICIENT_FUNDS' } });
});

test('a payment made right after the submit is escrowed, and released with the job', async () => {
  const { id } = await submit('paid afterwards', {});
  const made = await payer.caller.call(payments.create, {
    body: { job_id: id, amount: 4 },
    idempotencyKey: `pay-${id}`,
  });
  expect(must(made)).toMatchObject({ status: 'escrowed', amount: 4, job_id: id });
  const second = await payer.caller.call(payments.create, { body: { job_id: id, amount: 4 } });
  expect(refusal(second)).toBe('409 PAYMENT_ALREADY_EXISTS');
  const [work] = await takeWork(owner.caller, minerId);
  const report = { job_id: id, lease: work?.lease as string, status: 'completed' as const, result: 1 };
  must(await owner.caller.call(jobs.result, { body: report }));
  await resolved(id, 'released');
  const strange = await coordinator.client2.call(payments.getByJob, { params: { job_id: id } });
  expect(refusal(strange)).toBe('404 NOT_FOUND');
});
