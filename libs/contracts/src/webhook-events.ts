import { z } from 'zod';
import { Id, Timestamp } from './ids.ts';
import { AmountOut } from './money.ts';

/** What a webhook can tell of. */
export const WebhookEventName = z.enum([
  'job.completed',
  'job.failed',
  'job.cancelled',
  'job.expired',
  'payment.released',
  'payment.refunded',
  'booking.started',
  'booking.ended',
  'invoice.confirmed',
  'proposal.passed',
  'proposal.executed',
  'miner.inactive',
]);
export type WebhookEventName = z.infer<typeof WebhookEventName>;

/** Why a call did not deliver. */
export const CALL_ERRORS = [
  'url_refused',
  'address_refused',
  'name_unknown',
  'timed_out',
  'not_reached',
  'bad_status',
  /** Who made it is gone: it may have arrived. */
  'interrupted',
] as const;

// Ids and states, and nothing that somebody wrote: no prompt, no result, no title.
export const JobWebhook = z.strictObject({
  type: WebhookEventName.extract(['job.completed', 'job.failed', 'job.cancelled', 'job.expired']),
  data: z.strictObject({
    job_id: Id,
    status: z.enum(['completed', 'failed', 'cancelled', 'expired']),
    miner_id: Id.nullable(),
    payment_id: Id.nullable(),
    price: AmountOut.meta({ description: 'What its receipt says; 0 without one' }),
    ended_at: Timestamp,
  }),
});
export const PaymentWebhook = z.strictObject({
  type: WebhookEventName.extract(['payment.released', 'payment.refunded']),
  data: z.strictObject({
    payment_id: Id,
    job_id: Id.nullable().meta({ description: 'Null: it is of a booking' }),
    status: z.enum(['released', 'refunded']),
    amount: AmountOut,
    payer_id: Id.nullable(),
    payee_id: Id.nullable(),
    earned: AmountOut.meta({ description: 'What the payee got, fee taken off' }),
  }),
});
export const BookingWebhook = z.strictObject({
  type: WebhookEventName.extract(['booking.started', 'booking.ended']),
  data: z.strictObject({
    order_id: Id,
    gpu_id: Id,
    status: z.enum(['active', 'ended']),
    reason: z.string().nullable().meta({ description: 'Why it ended' }),
  }),
});
export const InvoiceWebhook = z.strictObject({
  type: WebhookEventName.extract(['invoice.confirmed']),
  data: z.strictObject({
    payment_id: Id.meta({ description: 'Of GET /v1/exchange/payment-status/{payment_id}' }),
    status: z.string(),
    credited: AmountOut,
  }),
});
export const ProposalWebhook = z.strictObject({
  type: WebhookEventName.extract(['proposal.passed', 'proposal.executed']),
  data: z.strictObject({ proposal_id: Id, status: z.enum(['passed', 'executed']) }),
});
export const MinerWebhook = z.strictObject({
  type: WebhookEventName.extract(['miner.inactive']),
  data: z.strictObject({ miner_id: Id, status: z.literal('inactive') }),
});

/** The body of a delivery says this, and when it happened. */
export const WebhookFact = z.union([
  JobWebhook,
  PaymentWebhook,
  BookingWebhook,
  InvoiceWebhook,
  ProposalWebhook,
  MinerWebhook,
]);
export type WebhookFact = z.output<typeof WebhookFact>;

const timestamp = Timestamp.meta({ description: 'When it happened' });

/** What a receiver finds in the body, by the Standard Webhooks specification. */
export const WebhookEvent = z
  .union([
    JobWebhook.extend({
      timestamp,
      data: JobWebhook.shape.data.extend({
        result: z.unknown().optional().meta({
          description: 'With `include_result`, of a job that completed; as GET of the job shows it',
        }),
        result_omitted: z.enum(['too_large', 'not_there']).optional().meta({
          description: 'Why there is no `result` though it was asked for. The whole body is 20 KB at most',
        }),
      }),
    }),
    PaymentWebhook.extend({ timestamp }),
    BookingWebhook.extend({ timestamp }),
    InvoiceWebhook.extend({ timestamp }),
    ProposalWebhook.extend({ timestamp }),
    MinerWebhook.extend({ timestamp }),
  ])
  .meta({ id: 'WebhookEvent' });
export type WebhookEvent = z.output<typeof WebhookEvent>;

const URL_LENGTH_MAX = 2_048;

/**
 * Where something is sent: https, in development http too. What the name stands for is looked up with each call, so it is
 * refused then and not here.
 */
export const WebhookUrl = z
  .url({ protocol: /^https?$/ })
  .max(URL_LENGTH_MAX)
  .refine((text) => {
    const url = URL.canParse(text) ? new URL(text) : null;
    return url === null || (url.username === '' && url.password === '');
  }, 'must not hold a user or a password')
  .meta({
    description: 'https; in development http too. Only addresses out in the internet are called',
    example: 'https://example.org/hooks/aitbc',
  });
