import { type Caller, ledgerAddress, newId, routes, toMinor } from '@aitbc/contracts';
import { eventually, someone } from '@aitbc/testing';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aJob, type Stand, standForTest } from './testing/stand.ts';

let stand: Stand;
let toJobs: ReturnType<Stand['peers']['listen']>;
let toMarket: ReturnType<Stand['peers']['listen']>;
let toGovernance: ReturnType<Stand['peers']['listen']>;
let toGateway: ReturnType<Stand['peers']['listen']>;
beforeAll(async () => {
  stand = await standForTest();
  toJobs = stand.peers.listen('jobs');
  toMarket = stand.peers.listen('market');
  toGovernance = stand.peers.listen('governance');
  toGateway = stand.peers.listen('gateway');
});
afterAll(() => stand.stop());

const saidOf = (jobId: string) =>
  toJobs.filter((message) => 'job_id' in message.payload && message.payload.job_id === jobId);
const create = (caller: Caller, jobId: string, amount: number, idempotencyKey?: string) =>
  stand.as(caller).call(routes.payments.create, {
    body: { job_id: jobId, amount },
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  });
const release = (caller: Caller, id: string) =>
  stand.as(caller).call(routes.payments.release, { params: { payment_id: id }, body: {} });
const refund = (caller: Caller, id: string) =>
  stand.as(caller).call(routes.payments.refund, {
    params: { payment_id: id },
    body: { reason: 'for a test' },
  });

describe('a paid job', () => {
  it('is held, released less the fee, sealed, and shown', async () => {
    const payer = await stand.funded(10);
    const job = aJob(payer);
    await stand.peers.send('jobs.submitted', job.submitted(toMinor(2)));
    const held = await stand.untilPayment(payer, job.job_id, 'escrowed');
    expect(held).toMatchObject({ amount: 2, fee: 0.05, payee_id: null, job_id: job.job_id });
    expect(await stand.balanceOf(payer)).toMatchObject({ balance: 10, available: 8, held: 2 });
    await eventually(() => saidOf(job.job_id).some((message) => message.name === 'payments.escrowed'));

    await stand.peers.send('jobs.started', job.started());
    await stand.peers.send('jobs.ended', job.ended('completed', stand.paidWith(held)));
    const released = await stand.untilPayment(payer, job.job_id, 'released');
    expect(released).toMatchObject({ payee_id: job.miner.account_id, fee: 0.05, refunded_amount: 0 });
    expect(await stand.balanceOf(payer)).toMatchObject({ balance: 8, available: 8, held: 0 });
    expect(await stand.balanceOf(job.miner)).toMatchObject({ available: 1.95 });
    await eventually(() =>
      saidOf(job.job_id).some(
        (message) => message.name === 'payments.resolved' && message.payload.earned_minor === toMinor(1.95),
      ),
    );

    const anyone = stand.as(null);
    const hash = released.transaction_hash as string;
    const transaction = await eventually(async () => {
      const reply = await anyone.call(routes.payments.transaction, { params: { hash } });
      return reply.ok && reply.body.block_height !== null ? reply.body : undefined;
    });
    expect(transaction).toMatchObject({
      kind: 'release',
      value: 1.95,
      reference: released.id,
      to: ledgerAddress(job.miner.account_id),
    });
    const proof = await anyone.call(routes.payments.proof, { params: { hash } });
    expect(proof.status).toBe(200);
  });

  const orders = [
    ['submitted', 'started', 'ended'],
    ['submitted', 'ended', 'started'],
    ['started', 'submitted', 'ended'],
    ['started', 'ended', 'submitted'],
    ['ended', 'submitted', 'started'],
    ['ended', 'started', 'submitted'],
  ] as const;
  const ends = ['completed', 'failed', 'cancelled', 'expired'] as const;
  const cases = orders.flatMap((order) => ends.map((end) => [order.join(', '), order, end] as const));
  it.each(cases)('ends right when it is heard as %s (%o), job %s', async (_, order, end) => {
    const payer = await stand.funded(1);
    const job = aJob(payer);
    // A job is leased for what is held by then: one that ended before its payment was heard of has a receipt without it.
    const isPaid = end === 'completed' && order.indexOf('submitted') < order.indexOf('ended');
    let paidWith: ReturnType<Stand['paidWith']> | null = null;
    for (const step of [...order, ...order]) {
      if (step === 'submitted') await stand.peers.send('jobs.submitted', job.submitted(toMinor(1)));
      else if (step === 'started') await stand.peers.send('jobs.started', job.started());
      else {
        if (isPaid) paidWith ??= stand.paidWith(await stand.untilPayment(payer, job.job_id, 'escrowed'));
        await stand.peers.send('jobs.ended', job.ended(end, paidWith));
      }
    }
    await stand.untilPayment(payer, job.job_id, isPaid ? 'released' : 'refunded');
    expect(await stand.balanceOf(payer)).toMatchObject({ available: isPaid ? 0 : 1, held: 0 });
    expect(await stand.balanceOf(job.miner)).toMatchObject({ available: isPaid ? 0.975 : 0 });
    await eventually(() => saidOf(job.job_id).length >= 2);
    expect(saidOf(job.job_id).map((message) => message.name)).toEqual([
      'payments.escrowed',
      'payments.resolved',
    ]);
  });

  it('without money is refused, and says so', async () => {
    const payer = await stand.funded(1);
    const job = aJob(payer);
    await stand.peers.send('jobs.submitted', job.submitted(toMinor(1.00000001)));
    const failed = await stand.untilPayment(payer, job.job_id, 'failed');
    expect(failed).toMatchObject({
      failure: { code: 'INSUFFICIENT_FUNDS', message: '1 AITBC are available, and 1.00000001 are needed.' },
      transaction_hash: null,
      fee: 0,
    });
    const said = await eventually(() => saidOf(job.job_id)[0]);
    expect(said).toMatchObject({ name: 'payments.refused', payload: { code: 'INSUFFICIENT_FUNDS' } });
    await stand.peers.send('jobs.ended', job.ended('failed', null, false));
    expect(await stand.balanceOf(payer)).toMatchObject({ available: 1, held: 0 });
    expect((await refund(payer, failed.id)).body).toMatchObject({
      error: { code: 'PAYMENT_NOT_ESCROWED' },
    });
  });

  it('may cost no more than the key may spend; what comes back may be spent again', async () => {
    const payer = await stand.funded(10, { spend_cap_minor: toMinor(3) });
    const [first, second, third] = [aJob(payer), aJob(payer), aJob(payer)];
    await stand.peers.send('jobs.submitted', first.submitted(toMinor(2)));
    await stand.untilPayment(payer, first.job_id, 'escrowed');
    await stand.peers.send('jobs.submitted', second.submitted(toMinor(2)));
    const refused = await stand.untilPayment(payer, second.job_id, 'failed');
    expect(refused.failure?.code).toBe('SPEND_CAP_EXCEEDED');
    await stand.peers.send('jobs.ended', first.ended('cancelled', null, false));
    await stand.untilPayment(payer, first.job_id, 'refunded');
    await stand.peers.send('jobs.submitted', third.submitted(toMinor(3)));
    await stand.untilPayment(payer, third.job_id, 'escrowed');
  });
});

describe('POST /v1/payments', () => {
  it('right after the submit waits for the news instead of a false 404', async () => {
    const payer = await stand.funded(5);
    const job = aJob(payer);
    const paying = create(payer, job.job_id, 1.5);
    // The request is on its way before anybody tells of the job.
    await stand.as(payer).call(routes.payments.balance, { params: { user_id: payer.account_id } });
    await stand.peers.send('jobs.submitted', job.submitted(null));
    const paid = await paying;
    expect(paid).toMatchObject({ status: 201, body: { status: 'escrowed', amount: 1.5 } });
    await eventually(() => saidOf(job.job_id)[0]?.name === 'payments.escrowed');
    if (!paid.ok) throw new Error('not paid');
    await stand.peers.send('jobs.ended', job.ended('completed', stand.paidWith(paid.body)));
    await stand.untilPayment(payer, job.job_id, 'released');
  });

  it('knows whose job it is, whether it is paid for, and whether there is money', async () => {
    const payer = await stand.funded(5);
    const stranger = await stand.funded(5);
    const job = aJob(payer);
    await stand.peers.send('jobs.submitted', job.submitted(null));
    expect(await create(payer, job.job_id, 5.00000001)).toMatchObject({
      status: 402,
      body: { error: { code: 'INSUFFICIENT_FUNDS' } },
    });
    expect((await create(stranger, job.job_id, 1)).status).toBe(404);
    expect((await create(payer, job.job_id, 5)).status).toBe(201);
    expect(await create(payer, job.job_id, 5)).toMatchObject({
      status: 409,
      body: { error: { code: 'PAYMENT_ALREADY_EXISTS' } },
    });
    expect(await stand.balanceOf(payer)).toMatchObject({ available: 0, held: 5 });
  });

  it('answers 404 for a job nobody told of', async () => {
    const payer = await stand.funded(1);
    expect((await create(payer, newId(), 1)).status).toBe(404);
  });

  it('takes no money for what was leased or ended without it', async () => {
    const payer = await stand.funded(5);
    const [done, failed, running] = [aJob(payer), aJob(payer), aJob(payer)];
    // The start first: money that came between a submission and its start would be taken.
    await stand.peers.send('jobs.started', running.started());
    await stand.peers.send('jobs.submitted', running.submitted(null));
    await stand.peers.send('jobs.ended', done.ended('completed'));
    await stand.peers.send('jobs.ended', failed.ended('failed'));
    const codeOf = async (job: ReturnType<typeof aJob>) => {
      const reply = await create(payer, job.job_id, 1);
      return reply.ok ? reply.status : reply.body.error.code;
    };
    expect(await codeOf(done)).toBe('JOB_COMPLETED');
    expect(await codeOf(failed)).toBe('JOB_ALREADY_ENDED');
    await eventually(async () => (await codeOf(running)) === 'JOB_RUNNING');
    expect(await stand.balanceOf(payer)).toMatchObject({ available: 5, held: 0 });
    // Nobody holds it any more: its next attempt may be paid for.
    await stand.peers.send('jobs.requeued', running.requeued());
    await eventually(async () => (await codeOf(running)) === 201);
  });

  it('that crosses with the lease of an unpaid attempt goes back when that one completes', async () => {
    const payer = await stand.funded(5);
    const job = aJob(payer);
    await stand.peers.send('jobs.submitted', job.submitted(null));
    expect((await create(payer, job.job_id, 2)).status).toBe(201);
    await stand.peers.send('jobs.started', job.started());
    await stand.peers.send('jobs.ended', job.ended('completed', null));
    await stand.untilPayment(payer, job.job_id, 'refunded');
    expect(await stand.balanceOf(payer)).toMatchObject({ available: 5, held: 0 });
    expect(await stand.balanceOf(job.miner)).toMatchObject({ available: 0 });
  });

  it('with one key holds once', async () => {
    const payer = await stand.funded(5);
    const job = aJob(payer);
    await stand.peers.send('jobs.submitted', job.submitted(null));
    const replies = await Promise.all(Array.from({ length: 8 }, () => create(payer, job.job_id, 1, 'once')));
    expect(replies.map((reply) => reply.status)).toEqual(Array(8).fill(201));
    expect(new Set(replies.map((reply) => JSON.stringify(reply.body))).size).toBe(1);
    expect(await stand.balanceOf(payer)).toMatchObject({ available: 4, held: 1 });
    expect(await create(payer, job.job_id, 2, 'once')).toMatchObject({
      body: { error: { code: 'IDEMPOTENCY_KEY_REUSED' } },
    });
  });

  it('obeys the cap of the key', async () => {
    const payer = await stand.funded(5, { spend_cap_minor: toMinor(1) });
    const job = aJob(payer);
    await stand.peers.send('jobs.submitted', job.submitted(null));
    expect(await create(payer, job.job_id, 1.1)).toMatchObject({
      status: 402,
      body: { error: { code: 'SPEND_CAP_EXCEEDED' } },
    });
    expect((await create(payer, job.job_id, 1)).status).toBe(201);
  });
});

describe('release and refund by hand', () => {
  type Verdict =
    | { ends: 'cancelled' | 'failed' }
    | { refuses: 'JOB_RUNNING' | 'STALE_LEASE' | 'JOB_COMPLETED' };
  const escrowed = async () => {
    const payer = await stand.funded(2);
    const job = aJob(payer, await stand.funded(0));
    await stand.peers.send('jobs.submitted', job.submitted(toMinor(1)));
    const payment = await stand.untilPayment(payer, job.job_id, 'escrowed');
    const start = async () => {
      await stand.peers.send('jobs.started', job.started());
      await eventually(
        async () => (await stand.paymentOf(payer, job.job_id)).payee_id === job.miner.account_id,
      );
    };
    const asked = () =>
      saidOf(job.job_id).flatMap((message) =>
        message.name === 'payments.refund_requested' ? [message.payload] : [],
      );
    /** Plays jobs: answers the wish that comes next. */
    const answer = async (verdict: Verdict, before = asked().length) => {
      const wish = await eventually(() => asked()[before]);
      if ('ends' in verdict) await stand.peers.send('jobs.ended', job.ended(verdict.ends));
      else
        await stand.peers.send('jobs.refund_refused', {
          payment_id: payment.id,
          job_id: job.job_id,
          request_id: wish.request_id,
          code: verdict.refuses,
          until_ms: null,
        });
      return wish;
    };
    return { payer, job, payment, start, asked, answer };
  };

  it('obey what jobs says of the job', async () => {
    const { payer, job, payment, start, answer } = await escrowed();
    expect(await release(payer, payment.id)).toMatchObject({
      status: 409,
      body: { error: { code: 'JOB_NOT_COMPLETED' } },
    });
    expect(await release(stand.admin, payment.id)).toMatchObject({ status: 409 });
    await start();
    for (const code of ['JOB_RUNNING', 'JOB_COMPLETED'] as const) {
      const [reply, wish] = await Promise.all([refund(payer, payment.id), answer({ refuses: code })]);
      expect(reply).toMatchObject({ status: 409, body: { error: { code } } });
      expect(wish).toMatchObject({ actor: 'payer', account_id: payer.account_id });
    }
    expect(await release(job.miner, payment.id)).toMatchObject({ status: 403 });
    await stand.peers.send('jobs.ended', job.ended('completed', stand.paidWith(payment)));
    const done = await stand.untilPayment(payer, job.job_id, 'released');
    // Done already; asked for again it is the first answer, and the other thing is a conflict.
    for (let i = 0; i < 2; i += 1)
      expect(await release(payer, payment.id)).toMatchObject({ status: 200, body: done });
    for (const caller of [payer, job.miner, stand.admin])
      expect(await refund(caller, payment.id)).toMatchObject({
        status: 409,
        body: { error: { code: 'JOB_COMPLETED' } },
      });
  });

  it('move nothing while jobs has not spoken, whatever was heard of the job before', async () => {
    const { payer, job, payment, asked } = await escrowed();
    const reply = await refund(payer, payment.id);
    expect(reply).toMatchObject({ status: 503, body: { error: { code: 'SERVICE_UNAVAILABLE' } } });
    expect((await stand.paymentOf(payer, job.job_id)).status).toBe('escrowed');
    // The wish stands: asked again it is the same one, and jobs' late word carries it out.
    const again = refund(payer, payment.id);
    await eventually(() => asked().length >= 2);
    expect(new Set(asked().map((wish) => wish.request_id)).size).toBe(1);
    await stand.peers.send('jobs.ended', job.ended('cancelled', null, false));
    expect(await again).toMatchObject({ status: 200, body: { status: 'refunded' } });
  });

  it('the payer gets back what jobs could still stop, and a late end changes nothing', async () => {
    const { payer, job, payment, answer } = await escrowed();
    const [first] = await Promise.all([refund(payer, payment.id), answer({ ends: 'cancelled' })]);
    expect(first).toMatchObject({ status: 200, body: { status: 'refunded', refunded_amount: 1, fee: 0 } });
    expect(await refund(payer, payment.id)).toMatchObject({ status: 200, body: first.body });
    await stand.peers.send('jobs.ended', job.ended('completed', stand.paidWith(payment)));
    // Messages are heard in order: once this one's payment stands, the end before it was heard.
    await escrowed();
    expect(await release(payer, payment.id)).toMatchObject({
      body: { error: { code: 'PAYMENT_ALREADY_RESOLVED' } },
    });
    expect(await stand.balanceOf(payer)).toMatchObject({ available: 2, held: 0 });
    expect(await stand.balanceOf(job.miner)).toMatchObject({ available: 0 });
  });

  it.each(['payee', 'operator'] as const)('the %s may give back while the job runs', async (who) => {
    const { payer, job, payment, start, answer } = await escrowed();
    await start();
    const caller = who === 'operator' ? stand.admin : job.miner;
    const [reply, wish] = await Promise.all([
      refund(caller, payment.id),
      answer({ ends: who === 'operator' ? 'cancelled' : 'failed' }),
    ]);
    expect(wish).toMatchObject({ actor: who, account_id: caller.account_id, reason: 'for a test' });
    expect(reply).toMatchObject({ status: 200, body: { status: 'refunded' } });
    expect(await stand.balanceOf(payer)).toMatchObject({ available: 2, held: 0 });
  });

  it('a miner that gave the job back is a stranger to its payment', async () => {
    const { payer, job, payment, start } = await escrowed();
    await start();
    await stand.peers.send('jobs.requeued', job.requeued());
    await eventually(async () => (await stand.paymentOf(payer, job.job_id)).payee_id === null);
    expect((await refund(job.miner, payment.id)).status).toBe(404);
    // Heard late, the lease that is over makes nobody a party again.
    await stand.peers.send('jobs.started', job.started());
    await escrowed();
    expect((await stand.paymentOf(payer, job.job_id)).payee_id).toBeNull();
  });

  it('with one key ask once and answer the same', async () => {
    const { payer, payment, answer, asked } = await escrowed();
    const ask = () =>
      stand.as(payer).call(routes.payments.refund, {
        params: { payment_id: payment.id },
        body: { reason: 'for a test' },
        idempotencyKey: `refund-${payment.id}`,
      });
    const [first] = await Promise.all([ask(), answer({ refuses: 'JOB_RUNNING' })]);
    expect(first).toMatchObject({ status: 409, body: { error: { code: 'JOB_RUNNING' } } });
    expect(await ask()).toMatchObject({ status: 409, body: { error: { code: 'JOB_RUNNING' } } });
    expect(asked()).toHaveLength(1);
  });

  it('of a stranger do not exist', async () => {
    const { payment } = await escrowed();
    const stranger = await stand.funded(0);
    const params = { payment_id: payment.id };
    const replies = [
      await release(stranger, payment.id),
      await refund(stranger, payment.id),
      await stand.as(stranger).call(routes.payments.get, { params }),
      await stand.as(stranger).call(routes.payments.receipt, { params }),
      await stand
        .as(stranger)
        .call(routes.payments.getByJob, { params: { job_id: payment.job_id as string } }),
    ];
    expect(replies.map((reply) => reply.status)).toEqual([404, 404, 404, 404, 404]);
    const miner = await stand.as(someone(['miner'])).call(routes.payments.release, { params, body: {} });
    expect(miner.status).toBe(403);
  });

  it('fired together resolve once, as jobs says', async () => {
    const { payer, job, payment, start } = await escrowed();
    await start();
    const ended = stand.peers.send('jobs.ended', job.ended('completed', stand.paidWith(payment)));
    const replies = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        i % 2 === 0 ? release(payer, payment.id) : refund(job.miner, payment.id),
      ),
    );
    await ended;
    for (const reply of replies) expect([200, 409]).toContain(reply.status);
    await stand.untilPayment(payer, job.job_id, 'released');
    expect(await stand.balanceOf(payer)).toMatchObject({ available: 1, held: 0 });
    expect(await stand.balanceOf(job.miner)).toMatchObject({ available: 0.975 });
  });
});

describe('a booking', () => {
  const booked = (booker: Caller, owner: Caller, amount: number) => ({
    order_id: newId(),
    gpu_id: newId(),
    booker_account_id: booker.account_id,
    owner_account_id: owner.account_id,
    credential_id: booker.credential_id,
    spend_cap_minor: null,
    amount_minor: toMinor(amount),
  });
  const saidOfOrder = (orderId: string) =>
    toMarket.filter((message) => 'order_id' in message.payload && message.payload.order_id === orderId);

  it.each([
    ['in part', 3, 'requested first'],
    ['in part', 3, 'ended first'],
    ['whole', 10, 'requested first'],
    ['not at all', 0, 'ended first'],
  ])('is paid %s (%i of 10), %s', async (_, pay, order) => {
    const [booker, owner] = [await stand.funded(10), someone(['miner'])];
    const request = booked(booker, owner, 10);
    const end = { order_id: request.order_id, pay_minor: toMinor(pay), reason: 'over' };
    const say = [
      () => stand.peers.send('market.booking_requested', request),
      () => stand.peers.send('market.booking_ended', end),
    ];
    if (order === 'ended first') say.reverse();
    for (const one of [...say, ...say]) await one();
    await eventually(() => saidOfOrder(request.order_id).length >= 2);
    const [held, ...settled] = saidOfOrder(request.order_id);
    expect(held?.name).toBe('payments.booking_held');
    // Said again as often as market says again how it ended.
    for (const message of settled)
      expect(message).toMatchObject({
        name: 'payments.booking_settled',
        payload: { paid_minor: toMinor(pay), refunded_minor: toMinor(10 - pay) },
      });
    expect(await stand.balanceOf(booker)).toMatchObject({ available: 10 - pay, held: 0 });
    expect(await stand.balanceOf(owner)).toMatchObject({ available: pay * 0.975 });
  });

  it('that runs goes back to its booker when market ends it for the operator, and no sooner', async () => {
    const [booker, owner] = [await stand.funded(10), await stand.funded(0)];
    const request = booked(booker, owner, 10);
    await stand.peers.send('market.booking_requested', request);
    const held = await eventually(() => {
      const said = saidOfOrder(request.order_id)[0];
      return said?.name === 'payments.booking_held' ? said.payload : undefined;
    });
    for (const party of [booker, owner])
      expect(await refund(party, held.payment_id)).toMatchObject({
        status: 409,
        body: { error: { code: 'ORDER_NOT_ENDED' } },
      });
    const asking = refund(stand.admin, held.payment_id);
    const wish = await eventually(() =>
      saidOfOrder(request.order_id).find((said) => said.name === 'payments.booking_refund_requested'),
    );
    expect(wish.payload).toMatchObject({ payment_id: held.payment_id, reason: 'for a test' });
    expect(await stand.balanceOf(booker)).toMatchObject({ available: 0, held: 10 });
    await stand.peers.send('market.booking_ended', {
      order_id: request.order_id,
      pay_minor: 0,
      reason: 'REFUNDED_BY_OPERATOR',
    });
    expect(await asking).toMatchObject({ status: 200, body: { status: 'refunded', refunded_amount: 10 } });
    expect(await stand.balanceOf(booker)).toMatchObject({ available: 10, held: 0 });
  });

  it('without money is refused', async () => {
    const booker = await stand.funded(9);
    const request = booked(booker, someone(['miner']), 10);
    await stand.peers.send('market.booking_requested', request);
    const said = await eventually(() => saidOfOrder(request.order_id)[0]);
    expect(said).toMatchObject({
      name: 'payments.booking_refused',
      payload: { code: 'INSUFFICIENT_FUNDS' },
    });
  });
});

describe('the operator', () => {
  it('credits an account, with a reason, once a key', async () => {
    const account = await stand.funded(0);
    const give = (key: string) =>
      stand.as(stand.admin).call(routes.payments.credit, {
        params: { account_id: account.account_id },
        body: { amount: 0.00000001, reason: 'a trial' },
        idempotencyKey: key,
      });
    const first = await give('one');
    expect(first).toMatchObject({ status: 201, body: { amount: 1e-8, reason: 'a trial' } });
    expect(await give('one')).toMatchObject({ status: 201, body: first.body });
    await give('two');
    expect(await stand.balanceOf(account)).toMatchObject({ available: 2e-8 });
    const audited = await eventually(() => {
      const found = toGateway.filter(
        ({ name, payload }) =>
          name === 'payments.audited' &&
          (payload as { account_id: string }).account_id === account.account_id,
      );
      return found.length === 2 ? found : undefined;
    });
    expect(audited[0]?.payload).toMatchObject({
      action: 'account.credited',
      object: (first.body as { id: string }).id,
      actor: { account_id: stand.admin.account_id, credential_id: stand.admin.credential_id },
      details: { amount: 1e-8, reason: 'a trial' },
    });
  });

  it('waits for the news of a new account, and gets 404 for none', async () => {
    const account_id = newId();
    const crediting = stand.as(stand.admin).call(routes.payments.credit, {
      params: { account_id },
      body: { amount: 1, reason: 'early' },
    });
    await stand.as(stand.admin).call(routes.payments.keys, {});
    await stand.peers.send('gateway.account_created', { account_id, wallet_address: null });
    expect((await crediting).status).toBe(201);
    const unknown = await stand.as(stand.admin).call(routes.payments.credit, {
      params: { account_id: newId() },
      body: { amount: 1, reason: 'nobody' },
    });
    expect(unknown.status).toBe(404);
  });

  it('needs a reason, and to be the operator', async () => {
    const account = await stand.funded(0);
    const params = { account_id: account.account_id };
    const body = { amount: 1, reason: '  ' };
    expect((await stand.as(stand.admin).call(routes.payments.credit, { params, body })).status).toBe(422);
    for (const scope of ['client', 'miner', 'user'] as const) {
      const reply = await stand
        .as(someone([scope]))
        .call(routes.payments.credit, { params, body: { amount: 1, reason: 'mine' } });
      expect(reply.status).toBe(403);
    }
    expect(await stand.balanceOf(account)).toMatchObject({ available: 0 });
  });

  it('sees every balance; others see their own', async () => {
    const account = await stand.funded(3);
    const params = { user_id: account.account_id };
    const asked = (caller: Caller) => stand.as(caller).call(routes.payments.balance, { params });
    expect(await asked(stand.admin)).toMatchObject({ status: 200, body: { available: 3 } });
    expect((await asked(someone(['client']))).status).toBe(404);
    const unknown = await stand
      .as(stand.admin)
      .call(routes.payments.balance, { params: { user_id: newId() } });
    expect(unknown.status).toBe(404);
  });
});

describe('governance', () => {
  it('hears every block in order, with balances of people alone', async () => {
    const account = await stand.funded(7);
    const sealed = await eventually(() =>
      toGovernance.find(
        (message) =>
          message.name === 'payments.block_sealed' &&
          message.payload.balances.some((balance) => balance.account_id === account.account_id),
      ),
    );
    expect(sealed.payload).toMatchObject({
      balances: expect.arrayContaining([{ account_id: account.account_id, balance_minor: toMinor(7) }]),
    });
    const heights = toGovernance.flatMap((message) =>
      message.name === 'payments.block_sealed' ? [message.payload.height] : [],
    );
    expect(heights).toEqual(heights.map((_, index) => index));
  });

  it('tells of blocks again, word for word, to who missed them', async () => {
    const sealed = (since = 0) =>
      toGovernance
        .slice(since)
        .flatMap((message) => (message.name === 'payments.block_sealed' ? [message.payload] : []));
    // Money that goes to and fro, over several blocks.
    const payer = await stand.funded(50);
    for (const status of ['failed', 'completed', 'failed'] as const) {
      const job = aJob(payer);
      await stand.peers.send('jobs.submitted', job.submitted(toMinor(2)));
      const held = await stand.untilPayment(payer, job.job_id, 'escrowed');
      await stand.peers.send('jobs.started', job.started());
      await stand.peers.send(
        'jobs.ended',
        job.ended(status, status === 'completed' ? stand.paidWith(held) : null),
      );
      await stand.untilPayment(payer, job.job_id, status === 'failed' ? 'refunded' : 'released');
    }
    const before = await eventually(() => {
      const ofPayer = sealed().flatMap(({ balances }) =>
        balances.filter((one) => one.account_id === payer.account_id),
      );
      return ofPayer.at(-1)?.balance_minor === toMinor(48) && sealed();
    });
    // What is not sealed yet does not count, nor what was sealed since.
    await stand.funded(1);
    for (const from_height of [0, before.length - 2]) {
      const since = toGovernance.length;
      await stand.peers.send('governance.blocks_missed', { from_height });
      await eventually(() => {
        const again = sealed(since).filter(({ height }) => height < before.length);
        expect(again).toEqual(before.slice(from_height));
        return true;
      });
    }
  });

  it('pays out of the treasury once, and says when it cannot', async () => {
    const recipient = await stand.funded(0);
    const given = await stand.as(stand.admin).call(routes.payments.credit, {
      params: { account_id: 'treasury' },
      body: { amount: 100, reason: 'the beginning' },
    });
    expect(given).toMatchObject({ status: 201, body: { account_id: null } });
    const approve = async (recipient_account_id: string, amount: number, times = 1) => {
      const proposal_id = newId();
      for (let i = 0; i < times; i += 1)
        await stand.peers.send('governance.allocation_approved', {
          proposal_id,
          recipient_account_id,
          amount_minor: toMinor(amount),
        });
      const said = await eventually(() => {
        const all = toGovernance.filter(
          (message) =>
            message.name === 'payments.allocation_settled' && message.payload.proposal_id === proposal_id,
        );
        return all.length === times && all;
      });
      // Asked again, the same answer again.
      for (const message of said) expect(message.payload).toEqual(said[0]?.payload);
      return said[0]?.payload;
    };
    expect(await approve(recipient.account_id, 60, 2)).toMatchObject({ ok: true, reason: null });
    expect(await stand.balanceOf(recipient)).toMatchObject({ available: 60 });
    expect(await approve(recipient.account_id, 1_000_000)).toMatchObject({
      ok: false,
      transaction_hash: null,
      reason: expect.stringContaining('The treasury has'),
    });
    expect(await approve(newId(), 1)).toMatchObject({ ok: false, reason: 'The recipient has no account.' });
    expect(await stand.balanceOf(recipient)).toMatchObject({ available: 60 });
  });

  it('sets the fee of payments made from then on', async () => {
    const payer = await stand.funded(100);
    const feeNow = async () => {
      const job = aJob(payer);
      await stand.peers.send('jobs.submitted', job.submitted(toMinor(1)));
      return (await stand.untilPayment(payer, job.job_id, 'escrowed')).fee;
    };
    // In force once it is committed: a payment in the same group of commits has the old rate still.
    const change = async (value: number, version: number, fee: number) => {
      await stand.peers.send(
        'governance.parameter_changed',
        { name: 'platform_fee_basis_points', value, version, proposal_id: newId() },
        'payments',
      );
      await eventually(async () => (await feeNow()) === fee);
    };
    const before = aJob(payer);
    await stand.peers.send('jobs.submitted', before.submitted(toMinor(1)));
    const held = await stand.untilPayment(payer, before.job_id, 'escrowed');
    expect(held.fee).toBe(0.025);
    await change(1_000, 1, 0.1);
    await stand.peers.send('jobs.ended', before.ended('completed', stand.paidWith(held)));
    expect(await stand.untilPayment(payer, before.job_id, 'released')).toMatchObject({ fee: 0.025 });
    await change(250, 2, 0.025);
  });
});

describe('the statement', () => {
  it('is a JWS that a stranger can check, and names the block once sealed', async () => {
    const payer = await stand.funded(2);
    const job = aJob(payer);
    await stand.peers.send('jobs.submitted', job.submitted(toMinor(1)));
    const held = await stand.untilPayment(payer, job.job_id, 'escrowed');
    await stand.peers.send('jobs.ended', job.ended('completed', stand.paidWith(held)));
    const payment = await stand.untilPayment(payer, job.job_id, 'released');
    const statement = await eventually(async () => {
      const reply = await stand
        .as(job.miner)
        .call(routes.payments.receipt, { params: { payment_id: payment.id } });
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      return reply.body.claims.block_height === null ? undefined : reply.body;
    });
    const published = await stand.as(null).call(routes.payments.keys, {});
    if (!published.ok) throw new Error('no keys');
    const { payload, protectedHeader } = await jwtVerify(
      statement.proof,
      createLocalJWKSet(published.body as Parameters<typeof createLocalJWKSet>[0]),
    );
    expect(protectedHeader.alg).toBe('EdDSA');
    expect(payload).toEqual(statement.claims);
    expect(payload).toMatchObject({
      payment_id: payment.id,
      amount: 1,
      fee: 0.025,
      earned: 0.975,
      refunded: 0,
      status: 'released',
      payer: { account_id: payer.account_id, address: ledgerAddress(payer.account_id) },
      payee: { account_id: job.miner.account_id },
    });
    expect(statement.claims.transfers.map((transfer) => [transfer.kind, transfer.amount])).toEqual([
      ['hold', 1],
      ['release', 0.975],
      ['fee', 0.025],
    ]);
    const [head, body, signature] = statement.proof.split('.') as [string, string, string];
    const forged = Buffer.from(body, 'base64url').toString().replace('"amount":1', '"amount":2');
    await expect(
      jwtVerify(
        `${head}.${Buffer.from(forged).toString('base64url')}.${signature}`,
        createLocalJWKSet(published.body as Parameters<typeof createLocalJWKSet>[0]),
      ),
    ).rejects.toThrow();
  });
});
