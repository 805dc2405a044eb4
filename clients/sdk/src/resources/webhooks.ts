import type { Input, RequestOptions, Transport } from '../http.ts';
import { listOf } from '../list.ts';
import { verifyWebhook } from '../verify/webhook.ts';

type Query<N extends 'gateway.list_webhooks' | 'gateway.list_webhook_deliveries'> = NonNullable<
  Input<N>['query']
>;

/** Events of the account, sent to an address of yours. */
export const createWebhooks = (transport: Transport) => ({
  list: (query: Query<'gateway.list_webhooks'> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) => transport.call('gateway.list_webhooks', { query: page }, options)),
  /** Gives the secret too, once. */
  create: (body: Input<'gateway.create_webhook'>['body'], call?: RequestOptions) =>
    transport.call('gateway.create_webhook', { body }, call),
  get: (webhookId: string, call?: RequestOptions) =>
    transport.call('gateway.get_webhook', { params: { webhook_id: webhookId } }, call),
  change: (webhookId: string, body: Input<'gateway.change_webhook'>['body'], call?: RequestOptions) =>
    transport.call('gateway.change_webhook', { params: { webhook_id: webhookId }, body }, call),
  remove: (webhookId: string, call?: RequestOptions) =>
    transport.call('gateway.delete_webhook', { params: { webhook_id: webhookId } }, call),
  /** @param webhookId or `callbacks`: the secret by which the `callback_url` of all jobs are signed */
  rotateSecret: (
    webhookId: string,
    body: Input<'gateway.rotate_webhook_secret'>['body'] = {},
    call?: RequestOptions,
  ) => transport.call('gateway.rotate_webhook_secret', { params: { webhook_id: webhookId }, body }, call),
  /** What was sent, and what came of it. */
  deliveries: (
    webhookId: string,
    query: Query<'gateway.list_webhook_deliveries'> = {},
    call: RequestOptions = {},
  ) =>
    listOf(query, call, (page, options) =>
      transport.call(
        'gateway.list_webhook_deliveries',
        { params: { webhook_id: webhookId }, query: page },
        options,
      ),
    ),
  redeliver: (webhookId: string, deliveryId: string, call?: RequestOptions) =>
    transport.call(
      'gateway.redeliver_webhook',
      { params: { webhook_id: webhookId, delivery_id: deliveryId } },
      call,
    ),
  /** For whoever receives them; needs no coordinator. */
  verify: verifyWebhook,
});
export type Webhooks = ReturnType<typeof createWebhooks>;
