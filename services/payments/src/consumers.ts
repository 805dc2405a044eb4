import { type Consumers, sendAs, type Trx } from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import { announceHeld, hold } from './commands/hold.ts';
import { allocate } from './commands/mint.ts';
import { type Deps, deadlineRefused, resolveByOrder, resolveEnded } from './commands/resolve.ts';
import { sayResolved, saySettled } from './commands/settle.ts';
import { announceAgain } from './seal.ts';
import { openUser } from './store/accounts.ts';
import { noteBookingEnd, noteBookingOwner } from './store/bookings.ts';
import { noteJobEnded, noteJobOwner, noteJobRequeued, noteJobStarted } from './store/jobs.ts';
import { findPaymentOfJob, findPaymentOfOrder, type PaymentView } from './store/payments.ts';
import { refuseRequest } from './store/refund-requests.ts';

const send = sendAs<'payments'>();

const holdForJob = async (
  trx: Trx,
  deps: Deps,
  job: Payload<'jobs.submitted'>,
  known: Awaited<ReturnType<typeof noteJobOwner>>,
): Promise<void> => {
  const { job_id, payment_amount_minor: amount_minor } = job;
  if (amount_minor === null || amount_minor === 0 || known.payment_id !== null) return;
  const { payment_id, refusal } = await hold(
    trx,
    deps,
    {
      job_id,
      order_id: null,
      payer_account_id: job.account_id,
      credential_id: job.credential_id,
      spend_cap_minor: job.spend_cap_minor,
      amount_minor,
      timeout_seconds: deps.parameters.get('escrow_timeout_seconds'),
      ...(job.expires_at_ms == null ? {} : { not_before_ms: job.expires_at_ms + START_GRACE_MS }),
    },
    true,
  );
  if (refusal === null)
    await announceHeld(trx, deps, { payment_id, job_id, amount_minor }, known.ended_status !== null);
  else await send(trx, 'payments.refused', { payment_id, job_id, ...refusal });
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

/** What others tell. All of it may come twice and in any order; facts are kept, and decided on when they suffice. */
export const createConsumers = (deps: Deps): Consumers<'payments'> => ({
  'gateway.account_created': async (trx, { account_id }) => {
    await openUser(trx, account_id, deps.now());
  },
  'gateway.listeners_changed': (trx, said) => deps.listeners.apply(trx, said),
  'jobs.submitted': async (trx, job) => {
    await holdForJob(trx, deps, job, await noteJobOwner(trx, job.job_id, job.account_id));
    trx.notify(`job:${job.job_id}`);
  },
  'jobs.started': (trx, { job_id, ...facts }) => noteJobStarted(trx, { id: job_id, ...facts }),
  'jobs.requeued': (trx, { job_id, attempt }) => noteJobRequeued(trx, job_id, attempt),
  'jobs.ended': async (trx, { job_id, started, price_minor, payment_id, ...facts }) => {
    // What the release before this one said has no name in it: then the job was paid by whatever was held.
    const paidWith =
      payment_id === undefined ? ((await findPaymentOfJob(trx, job_id))?.id ?? null) : payment_id;
    const end = { id: job_id, started: started ? 1 : 0, payment_id: paidWith, ...facts };
    const payment = (await noteJobEnded(trx, end)) ? await findPaymentOfJob(trx, job_id) : undefined;
    if (
      paidWith !== null &&
      payment?.id === paidWith &&
      payment.amount_minor !== (price_minor ?? payment.amount_minor)
    )
      throw new Error(`job ${job_id} ended at another price than its payment`);
    trx.notify(`job:${job_id}`);
    if (payment !== undefined) await resolveEnded(trx, deps, payment);
  },
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
});
