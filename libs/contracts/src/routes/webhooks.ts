import { z } from 'zod';
import { Id, Timestamp } from '../ids.ts';
import { Page, PageQuery } from '../page.ts';
import { defineRoute } from '../route.ts';
import { Text } from '../text.ts';
import { CALL_ERRORS, WebhookEventName, WebhookUrl } from '../webhook-events.ts';
import { OverlapSeconds } from './gateway.ts';

/** Endpoints that an account may have; and origins that its jobs' `callback_url` are kept apart by. */
export const WEBHOOKS_PER_ACCOUNT_MAX = 20;

const Events = z
  .array(WebhookEventName)
  .min(1)
  .max(WebhookEventName.options.length)
  .refine((events) => new Set(events).size === events.length, 'must not repeat an event');
const Description = Text(1, 200);
const IncludeResult = z.boolean().meta({
  description:
    'job.completed brings the result, when the whole is at most 20 KB. Without it: ids and states alone',
});

export const Webhook = z
  .strictObject({
    id: Id,
    kind: z.enum(['endpoint', 'callback']).meta({
      description:
        '`callback`: made by the first job whose `callback_url` has this origin. It is switched off and on, or deleted; nothing else of it can be changed',
    }),
    url: z.string().meta({ description: 'Of a callback its origin' }),
    events: z.array(WebhookEventName),
    description: z.string().nullable(),
    include_result: z.boolean(),
    enabled: z.boolean(),
    disabled_at: Timestamp.nullable(),
    disabled_reason: z.enum(['failing', 'gone', 'owner']).nullable().meta({
      description:
        '`failing`: nothing got through for three days. `gone`: it answered 410. `owner`: by PATCH',
    }),
    failing_since: Timestamp.nullable().meta({ description: 'Nothing got through since then' }),
    waiting: z.number().int().meta({ description: 'Deliveries that are not over' }),
    skipped: z
      .number()
      .int()
      .meta({ description: 'Events that were left out because too many deliveries waited' }),
    secret_expires_at: Timestamp.nullable().meta({
      description: 'Until then each delivery also carries a signature by the secret before the last rotation',
    }),
    created_at: Timestamp,
    updated_at: Timestamp,
  })
  .meta({ id: 'Webhook' });
export type Webhook = z.infer<typeof Webhook>;

const Secret = z.string().meta({
  description: 'Shown this once. In the form of Standard Webhooks',
  example: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD',
});

export const WebhookDelivery = z
  .strictObject({
    id: Id,
    webhook_id: Id,
    event_id: Id.meta({ description: 'The header `webhook-id`: the same for each try' }),
    type: WebhookEventName,
    object_id: Id.meta({ description: 'What it is about. Deliveries about one object arrive in order' }),
    url: z.string(),
    status: z.enum(['waiting', 'calling', 'delivered', 'failed']).meta({
      description: '`failed`: given up, after a day of tries or because the endpoint was switched off',
    }),
    created_at: Timestamp,
    next_attempt_at: Timestamp.nullable(),
    ended_at: Timestamp.nullable(),
    attempts: z.array(
      z.strictObject({
        attempt: z.number().int().min(1),
        started_at: Timestamp,
        duration_ms: z.number().int().nullable(),
        status: z.number().int().nullable().meta({ description: 'Of HTTP; null when there was no answer' }),
        error: z.enum(CALL_ERRORS).nullable().meta({
          description:
            'Null: it was taken (2xx). `interrupted`: we stopped in the middle of it, and it may have arrived',
        }),
        response: z.string().nullable().meta({ description: 'The first 1 KB of what was answered' }),
      }),
    ),
  })
  .meta({ id: 'WebhookDelivery' });
export type WebhookDelivery = z.infer<typeof WebhookDelivery>;

const Params = z.strictObject({ webhook_id: Id });
/** `callbacks` in place of an id: the secret of all `callback_url` of the account. */
const SecretParams = z.strictObject({ webhook_id: z.union([Id, z.literal('callbacks')]) });
const base = { service: 'gateway', tag: 'Webhooks', who: ['user', 'client'], rate: 'user' } as const;

// Secrets are shown once, and an answer that is kept for an Idempotency-Key would keep them: so who makes one takes none.
export const webhookRoutes = {
  createWebhook: defineRoute({
    ...base,
    name: 'gateway.create_webhook',
    method: 'POST',
    path: '/v1/users/me/webhooks',
    summary: 'Have events of your account sent to an address',
    description:
      'Signed as Standard Webhooks says, with the secret that is shown here and never again. Events from about five seconds after this on are sent, at least once each, and in order for each object; what is not taken (2xx within 10 s) is tried again for a day. After three days without a success the endpoint is switched off, and says so in `disabled_reason`.',
    body: z
      .strictObject({
        url: WebhookUrl,
        events: Events,
        description: Description.optional(),
        include_result: IncludeResult.default(false),
      })
      .meta({ id: 'WebhookRequest' }),
    responses: { 201: Webhook.extend({ secret: Secret }).meta({ id: 'WebhookCreated' }) },
    errors: ['WEBHOOK_LIMIT_REACHED'],
  }),
  listWebhooks: defineRoute({
    ...base,
    name: 'gateway.list_webhooks',
    method: 'GET',
    path: '/v1/users/me/webhooks',
    summary: 'Your webhooks',
    query: PageQuery,
    responses: { 200: Page(Webhook) },
  }),
  getWebhook: defineRoute({
    ...base,
    name: 'gateway.get_webhook',
    method: 'GET',
    path: '/v1/users/me/webhooks/:webhook_id',
    summary: 'One webhook',
    params: Params,
    responses: { 200: Webhook },
  }),
  changeWebhook: defineRoute({
    ...base,
    name: 'gateway.change_webhook',
    method: 'PATCH',
    path: '/v1/users/me/webhooks/:webhook_id',
    summary: 'Change a webhook, switch it off or on again',
    description: 'Switched on again it begins as a new one; what happened while it was off is not sent.',
    params: Params,
    body: z
      .strictObject({
        url: WebhookUrl.optional(),
        events: Events.optional(),
        description: Description.nullable().optional(),
        include_result: IncludeResult.optional(),
        enabled: z.boolean().optional(),
      })
      .refine((body) => Object.keys(body).length > 0, 'must change something')
      .meta({ id: 'WebhookChange' }),
    responses: { 200: Webhook },
  }),
  deleteWebhook: defineRoute({
    ...base,
    name: 'gateway.delete_webhook',
    method: 'DELETE',
    path: '/v1/users/me/webhooks/:webhook_id',
    summary: 'Delete a webhook, with its deliveries',
    params: Params,
    responses: { 200: Webhook },
  }),
  rotateWebhookSecret: defineRoute({
    ...base,
    name: 'gateway.rotate_webhook_secret',
    method: 'POST',
    path: '/v1/users/me/webhooks/:webhook_id/rotate-secret',
    summary: 'A new secret; the old one is good for a while',
    description:
      'Until then each delivery carries a signature by both. Of more than two the oldest ends at once. With `callbacks` in place of an id: the one secret by which the `callback_url` of all your jobs are signed; this is how you get it.',
    params: SecretParams,
    body: z.strictObject({
      overlap_seconds: OverlapSeconds.meta({ description: 'How long the old secret is good' }),
    }),
    responses: {
      200: z
        .strictObject({ secret: Secret, secret_expires_at: Timestamp.nullable() })
        .meta({ id: 'WebhookSecret' }),
    },
  }),
  listDeliveries: defineRoute({
    ...base,
    name: 'gateway.list_webhook_deliveries',
    method: 'GET',
    path: '/v1/users/me/webhooks/:webhook_id/deliveries',
    summary: 'What was sent, and what came of it',
    description: 'Deliveries that are over are kept for a week, and the last 1,000 of a webhook at most.',
    params: Params,
    query: PageQuery.extend({ status: WebhookDelivery.shape.status.optional() }),
    responses: { 200: Page(WebhookDelivery) },
  }),
  redeliver: defineRoute({
    ...base,
    name: 'gateway.redeliver_webhook',
    method: 'POST',
    path: '/v1/users/me/webhooks/:webhook_id/deliveries/:delivery_id/redeliver',
    summary: 'Send a delivery again, or at once',
    idempotent: true,
    params: z.strictObject({ webhook_id: Id, delivery_id: Id }),
    responses: { 202: WebhookDelivery },
    errors: ['WEBHOOK_DISABLED'],
  }),
} as const;
