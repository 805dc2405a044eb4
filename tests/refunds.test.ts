import { type Client, type Receipt, routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
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

const { jobs, payments, market } = routes;
let coordinator: Coordinator;
let payer: { id: string; key: string; caller: Client };

beforeAll(async () => {
  coordinator = await startCoordinator();
  payer = await coordinator.newAccount(['client']);
  await eventually(async () =>
    must(
      await coordinator.admin.call(payments.credit, {
        params: { account_id: payer.id },
        body: { amount: 10_000, reason: 'to pay with' },
        idempotencyKey: 'credit',
      }),
    ),
  );
}, STARTING_MS);
afterAll(() => coordinator?.stop());

/** Who only runs the jobs of one test. */
const only = (model: string) => ({ models: [model] });
const workOf = (model: string, more: object = {}) => ({
  ...embedding('something', more),
  parameters: { model, input: 'something' },
});
const submit = async (model: string, more: object = {}) =>
  must(await payer.caller.call(jobs.submit, { body: workOf(model, more) }));
const jobOf = async (job_id: string) => must(await payer.caller.call(jobs.get, { params: { job_id } }));
const paymentOf = (job_id: string) =>
  eventually(async () => must(await payer.caller.call(payments.getByJob, { params: { job_id } })));
const receiptOf = async (job_id: string): Promise<z.infer<typeof Receipt> | undefined> =>
  must(await payer.caller.call(jobs.receipts, { params: { job_id } })).items[0];
const priceOf = (receipt: z.infer<typeof Receipt> | undefined): number =>
  receipt === undefined ? 0 : (decodeJwt(receipt.proof).price as number);
const refund = (caller: Client, payment_id: string) =>
  caller.call(payments.refund, { params: { payment_id }, body: { reason: 'a test' } });
const complete = (miner: Client, work: { id: string; lease: string }) =>
  miner.call(jobs.result, { body: { job_id: work.id, lease: work.lease, status: 'completed', result: 1 } });
const ended = (job_id: string) =>
  eventually(
    async () => {
      const job = await jobOf(job_id);
      return ['pending', 'running'].includes(job.status) ? undefined : job;
    },
    { withinMs: 60_000 },
  );

/** A receipt with a price, and that price released; or neither. */
const agree = async (job_id: string, amount: number): Promise<'paid' | 'given back'> => {
  const job = await ended(job_id);
  const payment = await eventually(
    async () => {
      const now = await paymentOf(job_id);
      return now.status === 'escrowed' ? undefined : now;
    },
    { withinMs: 60_000 },
  );
  const receipt = await receiptOf(job_id);
  const isPaid = payment.status === 'released';
  expect([job.status, payment.status, priceOf(receipt)]).toEqual(
    isPaid ? ['completed', 'released', amount] : [expect.not.stringMatching('completed'), 'refunded', 0],
  );
  if (isPaid) expect(payment.payee_id).not.toBeNull();
  else expect(receipt).toBeUndefined();
  return isPaid ? 'paid' : 'given back';
};

/** A miner that takes and completes whatever comes, until it is stopped. */
const worker = async (model: string) => {
  const owner = await coordinator.newAccount(['miner']);
  const { id } = await registerMiner(owner.caller, only(model));
  const stopping = new AbortController();
  const loop = async () => {
    while (!stopping.signal.aborted) {
      try {
        const answer = await owner.caller.call(jobs.poll, {
          query: { wait_seconds: 2, max_jobs: 8, miner_id: id },
        });
        if (!answer.ok) continue;
        await Promise.all(answer.body.items.map((work) => complete(owner.caller, work)));
      } catch {
        // Its coordinator was killed; it is back soon.
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  const running = loop();
  return {
    owner,
    id,
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
};

describe('result and money back', () => {
  test.each([0, 1, 5, 20, 100])('refund %i ms after the hold: one or the other', async (delayMs) => {
    const model = `race-${delayMs}`;
    const miner = await worker(model);
    const outcomes = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const { id } = await submit(model, { payment_amount: 2 });
        const payment = await paymentOf(id);
        if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
        const answer = await refund(payer.caller, payment.id);
        const outcome = await agree(id, 2);
        if (answer.ok) expect([answer.body.status, outcome]).toEqual(['refunded', 'given back']);
        else expect(['409 JOB_RUNNING', '409 JOB_COMPLETED']).toContain(refusal(answer));
        return outcome;
      }),
    );
    await miner.stop();
    console.log(`${delayMs} ms: ${outcomes.filter((one) => one === 'paid').length} of 12 paid`);
  });

  test('with jobs and payments killed in between', { timeout: 240_000 }, async () => {
    const model = 'killed';
    const miner = await worker(model);
    const ids: string[] = [];
    const patiently = async <T>(work: () => Promise<T>): Promise<T> =>
      eventually(work, { withinMs: 60_000, everyMs: 200 }) as Promise<T>;
    for (const victim of ['payments', 'jobs', 'payments', 'jobs']) {
      const attacks = Array.from({ length: 6 }, async (_, index) => {
        // A lease may be on the disk and its answer die with the process: the time of the attempt brings the job back.
        const { id } = await patiently(() => submit(model, { payment_amount: 3, timeout_seconds: 15 }));
        ids.push(id);
        const payment = await patiently(() => paymentOf(id));
        await new Promise((resolve) => setTimeout(resolve, index * 10));
        await refund(payer.caller, payment.id).catch(() => undefined);
      });
      await new Promise((resolve) => setTimeout(resolve, 60));
      coordinator.stack.kill(victim, 'SIGKILL');
      await Promise.all(attacks);
    }
    const outcomes = await Promise.all(ids.map((id) => patiently(() => agree(id, 3))));
    await miner.stop();
    console.log(`killed: ${outcomes.filter((one) => one === 'paid').length} of ${ids.length} paid`);
    expect(ids).toHaveLength(24);
  });
});

describe('who gives the money back while the result comes in', () => {
  // Each pair of delay and order, twice.
  const races = [0, 1, 5, 20, 100].flatMap((delayMs) =>
    (['refund', 'result'] as const).flatMap((first) => [
      { delayMs, first },
      { delayMs, first },
    ]),
  );
  test.each(['payee', 'operator'] as const)(
    'the %s: one or the other',
    { timeout: 120_000 },
    async (actor) => {
      const model = `race-of-${actor}`;
      const miner = await coordinator.newAccount(['miner']);
      const { id: minerId } = await registerMiner(miner.caller, {
        ...only(model),
        concurrency: races.length,
      });
      await Promise.all(races.map(() => submit(model, { payment_amount: 2 })));
      const work: { id: string; lease: string }[] = [];
      while (work.length < races.length) work.push(...(await takeWork(miner.caller, minerId, races.length)));
      const caller = actor === 'payee' ? miner.caller : coordinator.admin;
      const outcomes = await Promise.all(
        races.map(async ({ delayMs, first }, at) => {
          const { id, lease } = work[at] as { id: string; lease: string };
          // The miner is a party to it once payments has heard of the lease.
          const payment = await eventually(async () => {
            const answer = await miner.caller.call(payments.getByJob, { params: { job_id: id } });
            return answer.ok ? answer.body : undefined;
          });
          const giveBack = () => refund(caller, payment.id);
          const report = () => complete(miner.caller, { id, lease });
          const began: Promise<unknown> = first === 'refund' ? giveBack() : report();
          if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
          const other: Promise<unknown> = first === 'refund' ? report() : giveBack();
          const [refunded, reported] = (await Promise.all(
            first === 'refund' ? [began, other] : [other, began],
          )) as [Awaited<ReturnType<typeof refund>>, Awaited<ReturnType<typeof complete>>];
          const outcome = await agree(id, 2);
          if (outcome === 'paid') {
            must(reported);
            expect(refusal(refunded)).toBe('409 JOB_COMPLETED');
          } else {
            expect(must(refunded)).toMatchObject({ status: 'refunded', refunded_amount: 2 });
            expect(refusal(reported)).toBe('409 JOB_ALREADY_ENDED');
          }
          return { outcome, fee: (await paymentOf(id)).fee };
        }),
      );
      const paid = outcomes.filter(({ outcome }) => outcome === 'paid');
      console.log(`${actor}: ${paid.length} of ${races.length} paid`);
      const earned = paid.reduce((sum, { fee }) => sum + 2 - fee, 0);
      const balance = must(await miner.caller.call(payments.balance, { params: { user_id: miner.id } }));
      expect(balance).toMatchObject({ available: expect.closeTo(earned, 8), held: 0 });
    },
  );
});

describe('once a miner holds the job', () => {
  const leased = async (model: string, amount: number | null) => {
    const owner = await coordinator.newAccount(['miner']);
    const { id: minerId } = await registerMiner(owner.caller, only(model));
    const { id } = await submit(model, amount === null ? {} : { payment_amount: amount });
    const [work] = await takeWork(owner.caller, minerId);
    if (work === undefined) throw new Error('no work');
    return { owner, minerId, id, work };
  };

  test('its payer cannot take the money back, nor release it; a cancel does', async () => {
    const { owner, id, work } = await leased('held', 4);
    const payment = await paymentOf(id);
    expect(refusal(await refund(payer.caller, payment.id))).toBe('409 JOB_RUNNING');
    const release = await payer.caller.call(payments.release, {
      params: { payment_id: payment.id },
      body: {},
    });
    expect(refusal(release)).toBe('409 JOB_NOT_COMPLETED');
    must(await payer.caller.call(jobs.cancel, { params: { job_id: id } }));
    expect(refusal(await complete(owner.caller, work))).toBe('409 JOB_ALREADY_ENDED');
    expect(await agree(id, 4)).toBe('given back');
  });

  test('its miner may give the money back, and then there is no receipt', async () => {
    const { owner, id, work } = await leased('payee', 4);
    const payment = await paymentOf(id);
    const answer = await eventually(async () => {
      // It is a party once payments heard of the lease.
      const said = await refund(owner.caller, payment.id);
      return said.status === 404 ? undefined : said;
    });
    expect(must(answer)).toMatchObject({ status: 'refunded', refunded_amount: 4 });
    expect(refusal(await complete(owner.caller, work))).toBe('409 JOB_ALREADY_ENDED');
    expect(await agree(id, 4)).toBe('given back');
    expect(await jobOf(id)).toMatchObject({ status: 'failed', error: { code: 'PAYMENT_REFUNDED' } });
  });

  test('a miner that gave the job back has no say over its money', async () => {
    const { owner, id, work } = await leased('gave-back', 4);
    const payment = await paymentOf(id);
    must(
      await owner.caller.call(jobs.result, {
        body: { job_id: id, lease: work.lease, status: 'failed', retryable: true },
      }),
    );
    const other = await coordinator.newAccount(['miner']);
    const { id: otherId } = await registerMiner(other.caller, only('gave-back'));
    expect(['404 NOT_FOUND', '409 STALE_LEASE']).toContain(refusal(await refund(owner.caller, payment.id)));
    const [again] = await takeWork(other.caller, otherId);
    expect(['404 NOT_FOUND', '409 STALE_LEASE']).toContain(refusal(await refund(owner.caller, payment.id)));
    must(await complete(other.caller, again as { id: string; lease: string }));
    expect(await agree(id, 4)).toBe('paid');
    expect((await paymentOf(id)).payee_id).toBe(other.id);
  });

  test('an operator may stop it; after the end nobody may', async () => {
    const { owner, id, work } = await leased('operator', 4);
    const payment = await paymentOf(id);
    expect(must(await refund(coordinator.admin, payment.id))).toMatchObject({ status: 'refunded' });
    expect(refusal(await complete(owner.caller, work))).toBe('409 JOB_ALREADY_ENDED');
    expect(await agree(id, 4)).toBe('given back');

    const done = await leased('operator-late', 4);
    must(await complete(done.owner.caller, done.work));
    const late = await paymentOf(done.id);
    for (const who of [payer.caller, coordinator.admin])
      expect(refusal(await refund(who, late.id))).toBe('409 JOB_COMPLETED');
    expect(await agree(done.id, 4)).toBe('paid');
  });

  test('money that comes after the lease is not for it', async () => {
    const { owner, id, work } = await leased('late', null);
    const pay = () => payer.caller.call(payments.create, { body: { job_id: id, amount: 4 } });
    // Payments hears of the lease a moment later; what crosses with it comes back.
    const early = await pay();
    if (!early.ok) expect(refusal(early)).toBe('409 JOB_RUNNING');
    else
      await passes(async () => {
        expect(refusal(await pay())).toBe('409 PAYMENT_ALREADY_EXISTS');
      });
    must(await complete(owner.caller, work));
    expect(priceOf(await receiptOf(id))).toBe(0);
    if (early.ok)
      await passes(async () => {
        expect((await paymentOf(id)).status).toBe('refunded');
      });
    else
      await passes(async () => {
        expect(refusal(await pay())).toBe('409 JOB_COMPLETED');
      });
  });
});

describe('a failure', () => {
  const fail = (caller: Client, work: { id: string; lease: string }, message: string) =>
    caller.call(jobs.result, {
      body: {
        job_id: work.id,
        lease: work.lease,
        status: 'failed',
        retryable: false,
        error: { code: 'BAD_INPUT', message },
      },
    });

  test('that one account alone says does not end jobs that an honest miner would run', async () => {
    const model = 'saboteur';
    const saboteur = await coordinator.newAccount(['miner']);
    const names = await Promise.all(
      ['one', 'two', 'three'].map((name) => registerMiner(saboteur.caller, { ...only(model), name })),
    );
    const ids = await Promise.all(
      Array.from({ length: 10 }, async () => (await submit(model, { payment_amount: 1 })).id),
    );
    const honest = await worker(model);
    const stopping = new AbortController();
    const sabotage = names.map(async ({ id }) => {
      while (!stopping.signal.aborted) {
        const { items } = must(
          await saboteur.caller.call(jobs.poll, { query: { wait_seconds: 1, max_jobs: 8, miner_id: id } }),
        );
        await Promise.all(items.map((work) => fail(saboteur.caller, work, 'no')));
      }
    });
    const outcomes = await Promise.all(ids.map((id) => agree(id, 1)));
    stopping.abort();
    await Promise.all([...sabotage, honest.stop()]);
    expect(outcomes).toEqual(Array(10).fill('paid'));
  });

  test('that a second account confirms ends the job with its words, and with nobody else to ask the first does', async () => {
    const [first, second] = [
      await coordinator.newAccount(['miner']),
      await coordinator.newAccount(['miner']),
    ];
    const model = 'confirmed';
    const a = await registerMiner(first.caller, only(model));
    const { id } = await submit(model, { payment_amount: 1 });
    const [work] = await takeWork(first.caller, a.id);
    const b = await registerMiner(second.caller, only(model));
    // A poll is answered once jobs knows of the second one; nothing waits for it yet.
    await eventually(async () =>
      must(await second.caller.call(jobs.poll, { query: { wait_seconds: 0, miner_id: b.id } })),
    );
    const waiting = takeWork(second.caller, b.id);
    must(await fail(first.caller, work as { id: string; lease: string }, 'the first opinion'));
    expect((await jobOf(id)).error?.message).toBe('the first opinion');
    const [again] = await waiting;
    expect(again).toMatchObject({ id, attempt: 2 });
    must(await fail(second.caller, again as { id: string; lease: string }, 'the second opinion'));
    expect(await ended(id)).toMatchObject({ status: 'failed', error: { message: 'the second opinion' } });
    expect(await agree(id, 1)).toBe('given back');

    const alone = await coordinator.newAccount(['miner']);
    const c = await registerMiner(alone.caller, only('alone'));
    const lonely = await submit('alone', { payment_amount: 1 });
    const [only1] = await takeWork(alone.caller, c.id);
    must(await fail(alone.caller, only1 as { id: string; lease: string }, 'no such font'));
    expect(await ended(lonely.id)).toMatchObject({ status: 'failed', error: { message: 'no such font' } });
  });
});

test('an operator that refunds a running booking ends it, and the order says so', async () => {
  const owner = await coordinator.newAccount(['miner']);
  const gpu = must(
    await owner.caller.call(market.register, {
      body: { model: 'RTX 4090', memory_gb: 24, region: 'eu', price_per_hour: 6 },
    }),
  );
  const order = await eventually(async () => {
    const booked = must(
      await payer.caller.call(market.book, { params: { gpu_id: gpu.id }, body: { duration_hours: 2 } }),
    );
    return booked.status === 'active' && booked;
  });
  expect(must(await refund(coordinator.admin, order.payment_id as string))).toMatchObject({
    status: 'refunded',
    refunded_amount: 12,
  });
  await passes(async () => {
    const { items } = must(await payer.caller.call(market.orders, { query: {} }));
    expect(items.find((one) => one.id === order.id)).toMatchObject({
      status: 'settled',
      reason: 'REFUNDED_BY_OPERATOR',
      paid: 0,
      refunded: 12,
    });
  });
});

test('an operator that refunds a booking while its booker ends it: one decides, and the sums are right', {
  timeout: 60_000,
}, async () => {
  const outcomes = await Promise.all(
    [0, 1, 5, 20, 100].flatMap((delayMs) =>
      (['refund', 'release'] as const).map(async (first) => {
        const owner = await coordinator.newAccount(['miner']);
        const body = { model: 'RTX 4090', memory_gb: 24, region: 'eu', price_per_hour: 6 };
        const gpu = must(await owner.caller.call(market.register, { body }));
        const booked = must(
          await payer.caller.call(market.book, { params: { gpu_id: gpu.id }, body: { duration_hours: 2 } }),
        );
        // Where payments takes more than two seconds, the answer is that its money is awaited.
        const order = await eventually(async () => {
          const params = { order_id: booked.id };
          const now = must(await payer.caller.call(market.order, { params }));
          return now.status === 'active' && now;
        });
        const giveBack = () => refund(coordinator.admin, order.payment_id as string);
        const release = () => payer.caller.call(market.release, { params: { gpu_id: gpu.id } });
        const began: Promise<unknown> = first === 'refund' ? giveBack() : release();
        if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
        await Promise.all([began, first === 'refund' ? release() : giveBack()]);
        const settled = await eventually(
          async () => {
            const { items } = must(
              await payer.caller.call(market.orders, { query: { limit: 500, status: 'settled' } }),
            );
            return items.find((one) => one.id === order.id);
          },
          { withinMs: 20_000 },
        );
        const payment = must(
          await coordinator.admin.call(payments.get, { params: { payment_id: order.payment_id as string } }),
        );
        const paid = settled.paid ?? Number.NaN;
        expect([paid + (settled.refunded ?? Number.NaN), payment.refunded_amount]).toEqual([
          12,
          settled.refunded,
        ]);
        expect(settled.reason).toBe(paid === 0 ? 'REFUNDED_BY_OPERATOR' : 'RELEASED_BY_BOOKER');
        const earned = must(await owner.caller.call(payments.balance, { params: { user_id: owner.id } }));
        expect(earned).toMatchObject({ available: expect.closeTo(paid - payment.fee, 8), held: 0 });
        return settled.reason;
      }),
    ),
  );
  console.log(
    `bookings: ${outcomes.filter((one) => one === 'RELEASED_BY_BOOKER').length} of ${outcomes.length} released`,
  );
});
