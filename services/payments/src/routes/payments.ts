import { type Handlers, type Store, waitFor } from '@aitbc/chassis';
import { type Caller, invalidField, notFound, Problem, type paymentsRoutes } from '@aitbc/contracts';
import { createPayment } from '../commands/hold.ts';
import { askForRefund, paymentFor, refusalOf, releaseByHand, releasedAlready } from '../commands/manual.ts';
import type { Deps } from '../commands/resolve.ts';
import type { Signer } from '../signing.ts';
import { findJob } from '../store/jobs.ts';
import { findPayment, findPaymentOfJob, type PaymentView } from '../store/payments.ts';
import { findRefundRequest } from '../store/refund-requests.ts';
import { toPayment, toStatement } from '../views.ts';
import { NEWS_WAIT_MS } from './news.ts';

/** The settler needs milliseconds; beyond this the answer is 202. */
const SETTLE_WAIT_MS = 5_000;

/** Jobs or market answers within milliseconds; who does not within this is away. */
const VERDICT_WAIT_MS = 5_000;
const ASK_AGAIN_SECONDS = 2;

type Routes = Pick<typeof paymentsRoutes, 'create' | 'get' | 'getByJob' | 'release' | 'refund' | 'receipt'>;

export const createPaymentHandlers = (store: Store, deps: Deps, signer: Signer): Handlers<Routes> => {
  const { read } = store;

  /** The job, which may be so new that payments has not heard of it. */
  const knownJob = (jobId: string, signal: AbortSignal) =>
    waitFor(
      store,
      `job:${jobId}`,
      async () => {
        const job = await findJob(read, jobId);
        return job?.owner_account_id == null ? undefined : job;
      },
      { withinMs: NEWS_WAIT_MS, gone: [signal] },
    );

  /** After a decision: the answer once it is carried out, or that it will be. */
  const whenSettled = async (paymentId: string, signal: AbortSignal) => {
    const ended = await waitFor(
      store,
      `payment:${paymentId}`,
      async () => {
        const row = await findPayment(read, paymentId);
        return row?.status === 'escrowed' ? undefined : row;
      },
      { withinMs: SETTLE_WAIT_MS, gone: [signal] },
    );
    const body = await toPayment(read, ended ?? ((await findPayment(read, paymentId)) as PaymentView));
    return ended === undefined ? { status: 202 as const, body } : { status: 200 as const, body };
  };

  /** What the owner of the job or the booking said of a caller's wish. @throws Problem its refusal, or that nobody said. */
  const verdictOf = async (caller: Caller, paymentId: string, signal: AbortSignal): Promise<void> => {
    const verdict = await waitFor(
      store,
      `payment:${paymentId}`,
      async () => {
        const payment = await findPayment(read, paymentId);
        if (payment === undefined || payment.decision === 'refund') return 'refund';
        if (payment.decision === 'release') return releasedAlready(payment);
        const code = (await findRefundRequest(read, paymentId, caller.account_id))?.refused_code ?? null;
        return code === null ? undefined : refusalOf(code);
      },
      { withinMs: VERDICT_WAIT_MS, gone: [signal] },
    );
    if (verdict === undefined)
      throw new Problem('SERVICE_UNAVAILABLE', 'Your wish is kept and not decided yet; ask again.', {
        retryAfterSeconds: ASK_AGAIN_SECONDS,
      });
    if (verdict !== 'refund') throw verdict;
  };

  const ofCaller = async (caller: Caller, paymentId: string): Promise<PaymentView> =>
    paymentFor(caller, await findPayment(read, paymentId)).payment;

  /** Which job a payment is for never changes. @throws Problem VALIDATION_ERROR when it is another one */
  const demandJob = async (caller: Caller, paymentId: string, jobId: string | undefined): Promise<void> => {
    if (jobId !== undefined && (await ofCaller(caller, paymentId)).job_id !== jobId)
      throw invalidField('job_id', 'is not the job of this payment');
  };

  return {
    create: async (context) => {
      await knownJob(context.body.job_id, context.signal);
      return context.write(async (trx) => ({
        status: 201,
        body: await toPayment(trx, await createPayment(trx, deps, context.caller, context.body)),
      }));
    },
    get: async ({ caller, params }) => ({
      status: 200,
      body: await toPayment(read, await ofCaller(caller, params.payment_id)),
    }),
    getByJob: async ({ caller, params, signal }) => {
      const isKnown = await knownJob(params.job_id, signal);
      if (isKnown === undefined) throw notFound('payment');
      const { payment } = paymentFor(caller, await findPaymentOfJob(read, params.job_id));
      return { status: 200, body: await toPayment(read, payment) };
    },
    release: async (context) => {
      const { params, body, caller } = context;
      await demandJob(caller, params.payment_id, body.job_id);
      await context.write(async (trx) => ({
        status: 202,
        body: await toPayment(trx, await releaseByHand(trx, caller, params.payment_id)),
      }));
      return whenSettled(params.payment_id, context.signal);
    },
    refund: async (context) => {
      const { params, body, caller } = context;
      await demandJob(caller, params.payment_id, body.job_id);
      await context.write(async (trx) => ({
        status: 202,
        body: await toPayment(trx, await askForRefund(trx, deps, caller, params.payment_id, body.reason)),
      }));
      await verdictOf(caller, params.payment_id, context.signal);
      return whenSettled(params.payment_id, context.signal);
    },
    receipt: async ({ caller, params }) => {
      const claims = await toStatement(read, await ofCaller(caller, params.payment_id), deps.now());
      return {
        status: 200,
        body: { payment_id: claims.payment_id, claims, proof: signer.jws(claims) },
      };
    },
  };
};
