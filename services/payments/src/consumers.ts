import { type Consumers, firstOfEach, sendAs, type Trx } from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import { announceHeld, hold, holdAll } from './commands/hold.ts';
import { allocate } from './commands/mint.ts';
import { type Deps, deadlineRefused, resolveByOrder, resolveEnded } from './commands/resolve.ts';
import { sayResolved, saySettled } from './commands/settle.ts';
import { announceAgain } from './seal.ts';
import { openUser } from './store/accounts.ts';
import { noteBookingEnd, noteBookingOwner } from './store/bookings.ts';
import { noteJobEnds, noteJobOwners, noteJobRequeued, noteJobStarts } from './store/jobs.ts';
import {
  findPaymentOfJob,
  findPaymentOfOrder,
  findPaymentsOfJobs,
  type PaymentView,
} from './store/payments.ts';
import { refuseRequest } from './store/refund-requests.ts';

const send = sendAs<'payments'>();

/** Learns who owns the jobs, and holds what they offer. */
const noteSubmitted = async (
  trx: Trx,
  deps: Deps,
  said: readonly Payload<'jobs.submitted'>[],
): Promise<void> => {
  const jobs = firstOfEach(said);
  const known = new Map(
    (
      await noteJobOwners(
        trx,
        jobs.map(({ job_id: id, account_id: owner_account_id }) => ({ id, owner_account_id })),
      )
    ).map((job) => [job.id, job]),
  );
  const paid = jobs.flatMap((job) => {
    const { payment_amount_minor: amount_minor } = job;
    const isHeld = known.get(job.job_id)?.payment_id !== null;
    return amount_minor === null || amount_minor === 0 || isHeld ? [] : [{ ...job, amount_minor }];
  });
  const requests = paid.map((job) => ({
    job_id: job.job_id,
    order_id: null,
    payer_account_id: job.account_id,
    credential_id: job.credential_id,
    spend_cap_minor: job.spend_cap_minor,
    amount_minor: job.amount_minor,
    timeout_seconds: deps.parameters.get('escrow_timeout_seconds'),
    ...(job.expires_at_ms == null ? {} : { not_before_ms: job.expires_at_ms + START_GRACE_MS }),
  }));
  const held = await holdAll(trx, deps, requests, true);
  for (const [at, { payment_id, refusal }] of held.entries()) {
    const { job_id, amount_minor } = paid[at] as (typeof paid)[number];
    if (refusal !== null) await send(trx, 'payments.refused', { payment_id, job_id, ...refusal });
    else {
      const hasEnded = known.get(job_id)?.ended_status !== null;
      await announceHeld(trx, deps, { payment_id, job_id, amount_minor }, hasEnded);
    }
  }
  for (const { job_id } of jobs) trx.notify(`job:${job_id}`);
};

/** Of a job that was started twice meanwhile the last start counts: it would have overwritten the others. */
const noteStarted = async (trx: Trx, said: readonly Payload<'jobs.started'>[]): Promise<void> => {
  const inOrder = [...said].sort((a, b) => b.attempt - a.attempt);
  await noteJobStarts(
    trx,
    firstOfEach(inOrder).map(({ job_id: id, attempt: started_attempt, ...facts }) => ({
      ...facts,
      id,
      started_attempt,
    })),
  );
};

/** Keeps the ends, and decides over the money of those jobs that have some. */
const noteEnded = async (trx: Trx, deps: Deps, said: readonly Payload<'jobs.ended'>[]): Promise<void> => {
  const ends: (Payload<'jobs.ended'> & { paidWith: string | null })[] = [];
  for (const end of firstOfEach(said)) {
    // What the release before this one said has no name in it: then the job was paid by whatever was held.
    const paidWith =
      end.payment_id === undefined ? ((await findPaymentOfJob(trx, end.job_id))?.id ?? null) : end.payment_id;
    ends.push({ ...end, paidWith });
  }
  await noteJobEnds(
    trx,
    ends.map((end) => ({
      id: end.job_id,
      owner_account_id: end.account_id,
      started_attempt: end.started ? 1 : 0,
      miner_id: end.miner_id,
      miner_account_id: end.miner_account_id,
      ended_status: end.status,
      ended_at_ms: end.ended_at_ms,
      ended_payment_id: end.paidWith,
    })),
  );
  const payments = await findPaymentsOfJobs(
    trx,
    ends.map(({ job_id }) => job_id),
  );
  const paymentOf = new Map(payments.map((payment) => [payment.job_id, payment]));
  for (const { job_id, paidWith, price_minor } of ends) {
    const payment = paymentOf.get(job_id);
    if (
      paidWith !== null &&
      payment?.id === paidWith &&
      payment.amount_minor !== (price_minor ?? payment.amount_minor)
    )
      throw new Error(`job ${job_id} ended at another price than its payment`);
    trx.notify(`job:${job_id}`);
  }
  await resolveEnded(trx, deps, payments);
};

/**
 * How a job's payment stands, for a jobs file that may have missed it. What is decided and not carried out yet is said when
 * it is; a payment that nobody knows here is no money: the job waits for some until it expires.
 */
const sayAgain = async (trx: Trx, payment: PaymentView | undefined): Promise<void> => {
  if (payment?.job_id == null) return;
  const { id: payment_id, job_id, amount_minor } = payment;
  if (payment.status === 'escrowed' && payment.decision === null)
    await send(trx, 'payments.escrowed', { payment_id, job_id, amount_minor });
  await sayResolved(trx, payment, true);
};

/** A job that may still start keeps its funds: its own expiry comes first, and tells us. */
const START_GRACE_MS = 60_000;

/**
 * What others tell. All of it may come twice and in any order; facts are kept, and decided on when they suffice. What jobs
 * says of each job is gathered, and done for all of a batch by a handful of statements.
 */
export const createConsumers = (deps: Deps): Consumers<'payments'> => {
  const submitted = (trx: Trx, said: readonly Payload<'jobs.submitted'>[]) => noteSubmitted(trx, deps, said);
  const ended = (trx: Trx, said: readonly Payload<'jobs.ended'>[]) => noteEnded(trx, deps, said);
  return {
    'gateway.account_created': async (trx, { account_id }) => {
      await openUser(trx, account_id, deps.now());
    },
    'gateway.listeners_changed': (trx, said) => deps.listeners.apply(trx, said),
    'jobs.submitted': (trx, job) => trx.gather(submitted, job),
    'jobs.started': (trx, start) => trx.gather(noteStarted, start),
    'jobs.requeued': (trx, { job_id, attempt }) => noteJobRequeued(trx, job_id, attempt),
    'jobs.ended': (trx, end) => trx.gather(ended, end),
    'jobs.payments_missed': async (trx, { job_ids }) => {
      for (const id of job_ids) await sayAgain(trx, await findPaymentOfJob(trx, id));
    },
    'jobs.refund_refused': async (trx, { request_id, payment_id, code, until_ms }) => {
      if (request_id === null) return await deadlineRefused(trx, deps, payment_id, until_ms);
      await refuseRequest(trx, request_id, code);
      trx.notify(`payment:${payment_id}`);
    },
    'market.booking_requested': async (trx, booking) => {
      const { order_id, amount_minor } = booking;
      if ((await findPaymentOfOrder(trx, order_id)) !== undefined) return;
      await noteBookingOwner(trx, order_id, booking.owner_account_id);
      const { payment_id, refusal } = await hold(
        trx,
        deps,
        {
          job_id: null,
          order_id,
          payer_account_id: booking.booker_account_id,
          credential_id: booking.credential_id,
          spend_cap_minor: booking.spend_cap_minor,
          amount_minor,
          timeout_seconds: null,
        },
        true,
      );
      if (refusal !== null) return await send(trx, 'payments.booking_refused', { order_id, ...refusal });
      await send(trx, 'payments.booking_held', { order_id, payment_id });
      await resolveByOrder(trx, deps, order_id);
    },
    'market.booking_ended': async (trx, { order_id, pay_minor, reason }) => {
      await noteBookingEnd(trx, order_id, pay_minor, reason);
      await resolveByOrder(trx, deps, order_id);
      await saySettled(trx, await findPaymentOfOrder(trx, order_id));
    },
    'governance.allocation_approved': (trx, approved) => allocate(trx, deps, approved),
    'governance.blocks_missed': (trx, { from_height }) => announceAgain(trx, from_height),
    'governance.parameter_changed': (trx, change) => deps.parameters.apply(trx, change),
  };
};
