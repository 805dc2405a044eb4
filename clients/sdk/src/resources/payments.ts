import { type ExchangePaymentStatus, LIMITS } from '../contract.ts';
import type { Input, RequestOptions, Transport } from '../http.ts';
import { listOf } from '../list.ts';

/** Escrow for jobs. */
export const createPayments = (transport: Transport) => ({
  create: (body: Input<'payments.create'>['body'], call?: RequestOptions) =>
    transport.call('payments.create', { body }, call),
  get: (paymentId: string, call?: RequestOptions) =>
    transport.call('payments.get', { params: { payment_id: paymentId } }, call),
  ofJob: (jobId: string, call?: RequestOptions) =>
    transport.call('payments.get_by_job', { params: { job_id: jobId } }, call),
  release: (paymentId: string, body: Input<'payments.release'>['body'] = {}, call?: RequestOptions) =>
    transport.call('payments.release', { params: { payment_id: paymentId }, body }, call),
  refund: (paymentId: string, body: Input<'payments.refund'>['body'], call?: RequestOptions) =>
    transport.call('payments.refund', { params: { payment_id: paymentId }, body }, call),
  /** A signed statement of a payment. */
  receipt: (paymentId: string, call?: RequestOptions) =>
    transport.call('payments.receipt', { params: { payment_id: paymentId } }, call),
});
export type Payments = ReturnType<typeof createPayments>;

const WAIT_RETRIES = 20;
const isFinal = ({ status, credited }: ExchangePaymentStatus): boolean =>
  status === 'expired' || credited !== null;

/** AITBC for bitcoin. */
export const createExchange = (transport: Transport) => {
  const status = (
    paymentId: string,
    query: Input<'payments.exchange_status'>['query'] = {},
    call?: RequestOptions,
  ) => transport.call('payments.exchange_status', { params: { payment_id: paymentId }, query }, call);
  return {
    rates: (call?: RequestOptions) => transport.call('payments.exchange_rates', {}, call),
    /** An address to send bitcoin to, with its BIP 21 link and QR code. */
    buy: (body: Input<'payments.exchange_create'>['body'], call?: RequestOptions) =>
      transport.call('payments.exchange_create', { body }, call),
    status,
    /** Waits until a purchase is credited, or its time is over. */
    wait: async (
      paymentId: string,
      options: Omit<RequestOptions, 'idempotencyKey'> & {
        readonly onStatus?: ((status: ExchangePaymentStatus) => void) | undefined;
      } = {},
    ): Promise<ExchangePaymentStatus> => {
      const { onStatus, ...call } = options;
      const patient = { ...call, maxRetries: call.maxRetries ?? WAIT_RETRIES };
      for (let waitSeconds = 0; ; waitSeconds = LIMITS.waitSeconds) {
        const now = await status(paymentId, { wait_seconds: waitSeconds }, patient);
        onStatus?.(now);
        if (isFinal(now)) return now;
      }
    },
    list: (query: NonNullable<Input<'payments.exchange_list'>['query']> = {}, call: RequestOptions = {}) =>
      listOf(query, call, (page, options) =>
        transport.call('payments.exchange_list', { query: page }, options),
      ),
  };
};
export type Exchange = ReturnType<typeof createExchange>;
