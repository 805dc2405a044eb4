import type { Handlers, Store } from '@aitbc/chassis';
import { type Caller, notFound, type paymentsRoutes } from '@aitbc/contracts';
import { createPayment } from '../commands/hold.ts';
import { paymentFor, resolveByHand } from '../commands/manual.ts';
import type { Deps } from '../commands/resolve.ts';
import type { Signer } from '../signing.ts';
import { findJob, findPayment, findPaymentOfJob, type PaymentView } from '../store/payments.ts';
import { toPayment, toStatement } from '../views.ts';
import { NEWS_WAIT_MS, waitFor } from '../wait.ts';

/** The settler needs milliseconds; beyond this the answer is 202. */
const SETTLE_WAIT_MS = 5_000;

type Routes = Pick<typeof paymentsRoutes, 'create' | 'get' | 'getByJob' | 'release' | 'refund' | 'receipt'>;

export const createPaymentHandlers = (store: Store, deps: Deps, signer: Signer): Handlers<Routes> => {
  const { read } = store;

  /** The job, which may be so new that payments has not heard of it. */
  const knownJob = (jobId: string, signal: AbortSignal) =>
    waitFor(
      store,
      `job:${jobId}`,
      () => {
        const job = findJob(read, jobId);
        return job?.owner_account_id == null ? undefined : job;
      },
      { withinMs: NEWS_WAIT_MS, signal },
    );

  /** After a decision: the answer once it is carried out, or that it will be. */
  const whenSettled = async (paymentId: string, signal: AbortSignal) => {
    const ended = await waitFor(
      store,
      `payment:${paymentId}`,
      () => {
        const row = findPayment(read, paymentId);
        return row?.status === 'escrowed' ? undefined : row;
      },
      { withinMs: SETTLE_WAIT_MS, signal },
    );
    const body = toPayment(read, ended ?? (findPayment(read, paymentId) as PaymentView));
    return ended === undefined ? { status: 202 as const, body } : { status: 200 as const, body };
  };

  const ofCaller = (caller: Caller, paymentId: string): PaymentView =>
    paymentFor(caller, findPayment(read, paymentId)).payment;

  return {
    create: async (context) => {
      await knownJob(context.body.job_id, context.signal);
      return context.write((trx) => ({
        status: 201,
        body: toPayment(trx, createPayment(trx, deps, context.caller, context.body)),
      }));
    },
    get: ({ caller, params }) => ({
      status: 200,
      body: toPayment(read, ofCaller(caller, params.payment_id)),
    }),
    getByJob: async ({ caller, params, signal }) => {
      const isKnown = await knownJob(params.job_id, signal);
      if (isKnown === undefined) throw notFound('payment');
      const { payment } = paymentFor(caller, findPaymentOfJob(read, params.job_id));
      return { status: 200, body: toPayment(read, payment) };
    },
    release: async (context) => {
      const { params, body, caller } = context;
      await context.write((trx) => ({
        status: 202,
        body: toPayment(
          trx,
          resolveByHand(trx, deps, caller, params.payment_id, 'release', body.reason ?? 'released by hand'),
        ),
      }));
      return whenSettled(params.payment_id, context.signal);
    },
    refund: async (context) => {
      const { params, body, caller } = context;
      await context.write((trx) => ({
        status: 202,
        body: toPayment(trx, resolveByHand(trx, deps, caller, params.payment_id, 'refund', body.reason)),
      }));
      return whenSettled(params.payment_id, context.signal);
    },
    receipt: ({ caller, params }) => {
      const claims = toStatement(read, ofCaller(caller, params.payment_id), deps.now());
      return {
        status: 200,
        body: { payment_id: claims.payment_id, claims, proof: signer.jws(claims) },
      };
    },
  };
};
