import { builder, deriveKey, openStore } from '@aitbc/chassis';
import {
  type Caller,
  fromMinor,
  jobsRoutes,
  newId,
  type Payload,
  sha256,
  toTimestamp,
} from '@aitbc/contracts';
import { eventually, someone, sqliteOnly, TEST_SECRET } from '@aitbc/testing';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { createLeases } from './lease.ts';
import { claimsOf, createSigner, makeSigningKey } from './receipts.ts';
import { onlyFor, type Stack, startStack } from './stack.fixture.ts';
import type { Tables } from './tables.ts';

const { describe } = sqliteOnly('files of releases that knew SQLite alone');

// A file of the release before, in which jobs wait, run and have ended: what was promised in it is kept.

const db = builder<Tables>();
const leases = createLeases(deriveKey(TEST_SECRET, 'lease'));
const PRICE = 250_000_000;
const NOW = Date.now();

interface OldJob {
  id: string;
  model: string;
  client: Caller;
  payment: string | null;
}
const job = (model: string, payment = true): OldJob => ({
  id: newId(),
  model,
  client: someone(['client']),
  payment: payment ? newId() : null,
});

const waiting = {
  paid: job('waits-paid'),
  unpaid: job('Waits-Unpaid:latest', false),
  unfunded: job('waits-for-funds'),
};
const running = {
  paid: job('runs-paid'),
  unpaid: job('runs-unpaid', false),
  asked: job('runs-asked'),
  given: job('runs-given'),
  lost: job('runs-lost'),
};
const completed = {
  released: job('was-paid'),
  escrowed: job('is-being-paid'),
  refunded: job('was-given-back'),
};
const forgotten = job('was-lost-by-nobody');

/** Whose miner holds all that runs. */
const holder = someone(['miner']);
const holderId = newId();
/** Whose miner lost a job once. */
const loser = someone(['miner']);
const loserId = newId();

const oldKey = makeSigningKey();
const proofs = new Map<string, string>();

const prepare = async (url: string): Promise<void> => {
  const first = migrations.sqlite['0001-jobs'] as NonNullable<(typeof migrations.sqlite)[string]>;
  const old = await openStore({
    url,
    service: 'jobs',
    migrations: { '0001-jobs': first },
  });
  const run = (statement: ReturnType<typeof sql>) =>
    old.transact('test', (trx) => trx.run({ compile: () => statement.compile(db) as never }));
  let seq = 0;
  const add = async (
    { id, model, client, payment }: OldJob,
    status: 'pending' | 'running' | 'completed',
    paymentStatus: 'pending' | 'escrowed' | 'released' | 'refunded' | null,
    attempt = status === 'pending' ? 0 : 1,
  ) => {
    seq += 1;
    const parameters = JSON.stringify({ model, prompt: 'Why?' });
    const price = payment === null ? null : PRICE;
    const requirement = { job_type: 'llm_inference', model, price_cap_minor: price };
    const holds = status === 'pending' ? null : holderId;
    await run(sql`INSERT INTO lane (id, requirement, created_at_ms)
      VALUES (${`lane ${seq}`}, ${JSON.stringify(requirement)}, ${NOW})`);
    await run(sql`INSERT INTO job (seq, id, client_id, job_type, status, lane, priority, is_funded, constraints, labels,
        parameters_sha256, timeout_ms, ttl_ms, max_attempts, attempt, undelivered, miner_id, miner_account_id, progress,
        payment_amount_minor, payment_id, payment_status, report_attempt, report_sha256, events, created_at_ms,
        updated_at_ms, queued_at_ms, started_at_ms, ended_at_ms, expires_at_ms, deadline_at_ms)
      VALUES (${seq}, ${id}, ${client.account_id}, 'llm_inference', ${status}, ${`lane ${seq}`}, 5,
        ${paymentStatus === 'pending' ? 0 : 1}, '{}', '[]', ${sha256(parameters)}, 600000, 600000, 3, ${attempt}, 0,
        ${holds}, ${holds === null ? null : holder.account_id}, 0, ${price},
        ${paymentStatus === 'pending' ? null : payment}, ${paymentStatus},
        ${status === 'completed' ? 1 : null}, ${status === 'completed' ? sha256('"done"') : null}, 1, ${NOW}, ${NOW},
        ${NOW}, ${holds === null ? null : NOW}, ${status === 'completed' ? NOW : null}, ${NOW + 600_000},
        ${status === 'running' ? NOW + 600_000 : null})`);
    await run(sql`INSERT INTO job_parameters (job_seq, parameters) VALUES (${seq}, ${parameters})`);
    await run(sql`INSERT INTO job_event (job_seq, id, type, status, attempt, progress, at_ms)
      VALUES (${seq}, 1, ${status}, ${status}, ${attempt}, 0, ${NOW})`);
    if (status !== 'completed') return seq;
    const receiptId = newId();
    const proof = createSigner(oldKey).sign({
      receipt_id: receiptId,
      job_id: id,
      attempt: 1,
      client_id: client.account_id,
      miner_id: holderId,
      job_type: 'llm_inference',
      parameters_sha256: sha256(parameters),
      result_sha256: sha256('"done"'),
      price: fromMinor(PRICE),
      currency: 'AITBC',
      started_at: toTimestamp(NOW),
      completed_at: toTimestamp(NOW),
    });
    proofs.set(id, proof);
    await run(sql`INSERT INTO receipt (job_seq, id, proof, created_at_ms, result)
      VALUES (${seq}, ${receiptId}, ${proof}, ${NOW}, '"done"')`);
    return seq;
  };
  for (const [id, caller] of [
    [holderId, holder],
    [loserId, loser],
  ] as const) {
    const offer = {
      miner_id: id,
      account_id: caller.account_id,
      revision: 1,
      status: 'active',
      ...onlyFor('nothing that waits'),
      gpus: [],
      cuda_version: null,
      region: null,
      price_per_job_minor: 0,
      concurrency: 16,
      reputation: 1,
    };
    await run(sql`INSERT INTO miner (id, account_id, revision, status, concurrency, offer)
      VALUES (${id}, ${caller.account_id}, 1, 'active', 16, ${JSON.stringify(offer)})`);
  }
  const { jwk } = createSigner(oldKey);
  await run(sql`INSERT INTO receipt_key (kid, x, private_key, created_at_ms)
    VALUES (${jwk.kid}, ${jwk.x}, ${oldKey}, ${NOW})`);
  await add(waiting.paid, 'pending', 'escrowed');
  await add(waiting.unpaid, 'pending', null);
  await add(waiting.unfunded, 'pending', 'pending');
  for (const one of [running.paid, running.unpaid, running.asked, running.given])
    await add(one, 'running', one.payment === null ? null : 'escrowed');
  await add(completed.released, 'completed', 'released');
  await add(completed.escrowed, 'completed', 'escrowed');
  await add(completed.refunded, 'completed', 'refunded');
  const lost = (at: number, minerId: string) =>
    run(sql`INSERT INTO lost_attempt (job_seq, miner_id) VALUES (${at}, ${minerId})`);
  await lost(await add(running.lost, 'running', 'escrowed', 2), loserId);
  await lost(await add(forgotten, 'pending', 'escrowed', 1), newId());
  await old.close();
};

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ prepare });
  // What the earlier release decided may still be on its way, so jobs asks about what waits; payments answers as it stands.
  for (const { id, payment } of [waiting.paid, forgotten]) {
    await stack.heard(stack.toPayments, 'jobs.payments_missed', ({ job_ids }) => job_ids.includes(id));
    const escrow = { payment_id: payment as string, job_id: id, amount_minor: PRICE };
    await stack.peers.send('payments.escrowed', escrow);
  }
});
afterAll(() => stack.stop());

const leaseOf = ({ id }: OldJob, attempt = 1) => ({
  id,
  lease: leases.seal({ job_id: id, miner_id: holderId, attempt }),
});
const complete = async (work: { id: string; lease: string }, caller = holder) => {
  const body = { job_id: work.id, lease: work.lease, status: 'completed' as const, result: 'done' };
  const reply = await stack.call(caller).call(jobsRoutes.result, { body });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body as { receipt: { proof: string } };
};
const endOf = (id: string) => stack.heard(stack.toPayments, 'jobs.ended', (said) => said.job_id === id);
/** What its receipt says it costs, and what payments are told to release. */
const expectPaid = async ({ id, payment }: OldJob, receipt: { proof: string }) => {
  const price = payment === null ? 0 : PRICE;
  expect(claimsOf(receipt.proof).price).toBe(fromMinor(price));
  expect(await endOf(id)).toMatchObject({ status: 'completed', payment_id: payment, price_minor: price });
};
const wish = (
  { id, payment, client }: OldJob,
  actor: Payload<'payments.refund_requested'>['actor'],
  account_id: string | null,
): Payload<'payments.refund_requested'> => ({
  request_id: actor === 'deadline' ? null : newId(),
  payment_id: payment as string,
  job_id: id,
  payer_account_id: client.account_id,
  actor,
  account_id,
  reason: 'a test',
});
const refusalOf = (request: Payload<'payments.refund_requested'>) =>
  stack.heard(stack.toPayments, 'jobs.refund_refused', (said) => said.request_id === request.request_id);

describe('a job that ran', () => {
  test.each(['paid', 'unpaid'] as const)(
    '%s, completes under its old lease at what it was taken for',
    async (how) => {
      const { receipt } = await complete(leaseOf(running[how]));
      await expectPaid(running[how], receipt);
      const again = await complete(leaseOf(running[how]));
      expect(again.receipt.proof).toBe(receipt.proof);
    },
  );

  test('is not stopped by its payer or by the deadline, and then completes', async () => {
    const { asked } = running;
    const byPayer = wish(asked, 'payer', asked.client.account_id);
    const byDeadline = wish(asked, 'deadline', null);
    await stack.peers.send('payments.refund_requested', byPayer);
    await stack.peers.send('payments.refund_requested', byDeadline);
    expect(await refusalOf(byPayer)).toMatchObject({ code: 'JOB_RUNNING' });
    expect(await refusalOf(byDeadline)).toMatchObject({ code: 'JOB_RUNNING', until_ms: NOW + 600_000 });
    await expectPaid(asked, (await complete(leaseOf(asked))).receipt);
  });

  test('is ended by its miner that gives the money back', async () => {
    const { given } = running;
    await stack.peers.send('payments.refund_requested', wish(given, 'payee', holder.account_id));
    expect(await endOf(given.id)).toMatchObject({ status: 'failed', payment_id: null, price_minor: 0 });
    await expect(complete(leaseOf(given))).rejects.toThrow('JOB_ALREADY_ENDED');
  });

  test('and is lost now, runs again at its price, but by no account that lost it, under whatever name', async () => {
    const { lost } = running;
    const name = onlyFor(lost.model);
    const other = await stack.miner(name);
    const loserAgain = await stack.miner(name, loser);
    // Both are known by their polls.
    for (const miner of [other, loserAgain])
      await eventually(async () => (await miner.poll({ wait_seconds: 0 })).length === 0);
    const body = {
      job_id: lost.id,
      lease: leaseOf(lost, 2).lease,
      status: 'failed' as const,
      retryable: true,
    };
    expect(await stack.call(holder).call(jobsRoutes.result, { body })).toMatchObject({
      ok: true,
      body: { status: 'pending' },
    });
    expect(await loserAgain.poll({ wait_seconds: 1 })).toEqual([]);
    const work = await other.take();
    expect(work).toMatchObject({ id: lost.id, attempt: 3 });
    await expectPaid(lost, (await complete(work, other.caller)).receipt);
  });
});

describe('a job that waited', () => {
  test.each(['paid', 'unpaid'] as const)('%s, is dispatched by the model it names', async (how) => {
    const one = waiting[how];
    const miner = await stack.miner(onlyFor(one.model.toLowerCase().replace(':latest', '')));
    const work = await miner.take();
    expect(work).toMatchObject({ id: one.id, attempt: 1, parameters: { model: one.model } });
    await expectPaid(one, (await complete(work, miner.caller)).receipt);
  });

  test('for its funds, is dispatched once they are held', async () => {
    const { unfunded } = waiting;
    const miner = await stack.miner(onlyFor(unfunded.model));
    expect(await miner.poll({ wait_seconds: 0 })).toEqual([]);
    await stack.peers.send('payments.escrowed', {
      payment_id: unfunded.payment as string,
      job_id: unfunded.id,
      amount_minor: PRICE,
    });
    await expectPaid(unfunded, (await complete(await miner.take(), miner.caller)).receipt);
  });

  test('after a miner lost it that nobody knows any more, goes to anybody', async () => {
    const miner = await stack.miner(onlyFor(forgotten.model));
    await expectPaid(forgotten, (await complete(await miner.take(), miner.caller)).receipt);
  });
});

describe('a job that had completed', () => {
  test.each(['released', 'escrowed', 'refunded'] as const)(
    'and is %s, keeps its receipt, which verifies',
    async (how) => {
      const { id, client } = completed[how];
      const proof = proofs.get(id) as string;
      expect(await stack.call(client).call(jobsRoutes.receipts, { params: { job_id: id } })).toMatchObject({
        ok: true,
        body: { items: [{ proof, salt: null, result: 'done' }] },
      });
      expect(
        await stack.call(null as never).call(jobsRoutes.verifyReceipt, { body: { proof } }),
      ).toMatchObject({
        ok: true,
        body: { valid: true, claims: { job_id: id, price: fromMinor(PRICE) } },
      });
      // Its miner did not hear the answer.
      expect((await complete(leaseOf(completed[how]))).receipt.proof).toBe(proof);
    },
  );

  test('is not refunded, and payments that lost its end are told it again', async () => {
    const { escrowed } = completed;
    const request = wish(escrowed, 'operator', newId());
    await stack.peers.send('payments.refund_requested', request);
    expect(await refusalOf(request)).toMatchObject({ code: 'JOB_COMPLETED' });
    expect(await endOf(escrowed.id)).toMatchObject({
      status: 'completed',
      miner_account_id: holder.account_id,
      payment_id: escrowed.payment,
      price_minor: PRICE,
    });
  });

  test('counts in the usage of its account', async () => {
    const usage = async ({ client }: OldJob) => {
      const query = { from: new Date(NOW).toISOString().slice(0, 10), group_by: 'model' };
      const reply = await stack.call(client).call(jobsRoutes.usage, { query });
      return reply.ok && reply.body.items.map(({ model, completed: done, spend }) => [model, done, spend]);
    };
    // Those that had ended keep their model in their parameters alone.
    expect(await usage(completed.released)).toEqual([[null, 1, fromMinor(PRICE)]]);
    expect(await usage(completed.refunded)).toEqual([[null, 1, 0]]);
  });
});
