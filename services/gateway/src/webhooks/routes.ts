import { isIP } from 'node:net';
import type { Handlers, Store, Trx } from '@aitbc/chassis';
import {
  invalidField,
  notFound,
  Problem,
  toTimestamp,
  toTimestampOrNull,
  WEBHOOKS_PER_ACCOUNT_MAX,
  type Webhook,
  type WebhookDelivery,
  type webhookRoutes,
} from '@aitbc/contracts';
import { pageById, readCursor } from '../cursor.ts';
import type { DeliveryTable, WebhookTable } from '../tables.ts';
import { isPublicAddress, refuseUrl } from './call.ts';
import { again, BLANK, DUE, newWebhook, sayListens } from './commands.ts';
import type { Attempt } from './domain.ts';
import type { Secrets } from './secrets.ts';
import * as rows from './store.ts';

const viewDelivery = (row: DeliveryTable, webhook: WebhookTable): WebhookDelivery => ({
  id: row.id,
  webhook_id: row.webhook_id,
  event_id: row.event_id,
  type: row.type,
  object_id: row.object_id,
  url: row.url ?? webhook.url,
  status: row.status,
  created_at: toTimestamp(row.at_ms),
  next_attempt_at: row.status === 'waiting' ? toTimestamp(row.due_at_ms) : null,
  ended_at: toTimestampOrNull(row.ended_at_ms),
  attempts: (JSON.parse(row.attempts) as Attempt[]).map(({ started_at_ms, ...attempt }) => ({
    ...attempt,
    started_at: toTimestamp(started_at_ms),
  })),
});

/** @param now by which deliveries are due and secrets end */
export const createWebhookHandlers = (options: {
  store: Store;
  secrets: Secrets;
  isDevelopment: boolean;
  now: () => number;
}): Handlers<typeof webhookRoutes> => {
  const { store, secrets, isDevelopment, now } = options;

  const view = async (reader: Trx | Store['read'], row: WebhookTable): Promise<Webhook> => {
    const seed = await rows.findSeed(reader, row.kind === 'callback' ? row.account_id : row.id);
    const until = seed?.previous_until_ms ?? 0;
    return {
      id: row.id,
      kind: row.kind,
      url: row.url,
      events: JSON.parse(row.events) as Webhook['events'],
      description: row.description,
      include_result: row.include_result === 1,
      enabled: row.enabled === 1,
      disabled_at: toTimestampOrNull(row.disabled_at_ms),
      disabled_reason: row.disabled_reason,
      failing_since: toTimestampOrNull(row.failing_since_ms),
      waiting: row.waiting,
      skipped: row.skipped,
      secret_expires_at: until > now() ? toTimestamp(until) : null,
      created_at: toTimestamp(row.created_at_ms),
      updated_at: toTimestamp(row.updated_at_ms),
    };
  };

  /** A name is looked up with each call; an address can be told at once. */
  const checkUrl = (text: string | undefined): void => {
    if (text === undefined) return;
    const url = new URL(text);
    if (refuseUrl(url, isDevelopment) !== null) throw invalidField('url', 'must be https');
    const host = url.hostname.replace(/^\[|\]$/g, '');
    if (!isDevelopment && isIP(host) !== 0 && !isPublicAddress(host))
      throw invalidField('url', 'is not out in the internet');
  };

  /** @throws Problem NOT_FOUND, also for somebody else's */
  const own = async (reader: Trx | Store['read'], id: string, accountId: string): Promise<WebhookTable> => {
    const row = await rows.findWebhook(reader, id);
    if (row === undefined || row.account_id !== accountId || row.deleted === 1) throw notFound('webhook');
    return row;
  };

  return {
    createWebhook: ({ caller, body }) => {
      checkUrl(body.url);
      return store.transact('webhook.create', async (trx) => {
        const { account_id } = caller;
        const others = (await rows.webhooksOf(trx, account_id)).filter(({ kind }) => kind === 'endpoint');
        if (others.length >= WEBHOOKS_PER_ACCOUNT_MAX)
          throw new Problem(
            'WEBHOOK_LIMIT_REACHED',
            `An account has at most ${WEBHOOKS_PER_ACCOUNT_MAX} webhooks; delete one first.`,
          );
        const row = newWebhook(
          {
            account_id,
            kind: 'endpoint',
            url: body.url,
            events: JSON.stringify(body.events),
            description: body.description ?? null,
            include_result: body.include_result ? 1 : 0,
          },
          now(),
        );
        await rows.insertWebhook(trx, row);
        const { secret } = await secrets.renew(trx, row.id, 0, now());
        await sayListens(trx, account_id);
        return { status: 201, body: { ...(await view(trx, row)), secret } };
      });
    },
    listWebhooks: async ({ caller, query }) => {
      const before = readCursor(query.cursor);
      const found = (await rows.webhooksOf(store.read, caller.account_id)).filter(
        ({ id }) => before === undefined || id < before,
      );
      return {
        status: 200,
        body: await pageById(found, query.limit, (row) => view(store.read, row)),
      };
    },
    getWebhook: async ({ caller, params }) => ({
      status: 200,
      body: await view(store.read, await own(store.read, params.webhook_id, caller.account_id)),
    }),
    changeWebhook: ({ caller, params, body }) => {
      checkUrl(body.url);
      return store.transact('webhook.change', async (trx) => {
        const row = await own(trx, params.webhook_id, caller.account_id);
        const { enabled, url, events, description, include_result } = body;
        const fixed = ['url', 'events', 'description', 'include_result'] as const;
        const refused = row.kind === 'callback' && fixed.find((name) => body[name] !== undefined);
        if (refused) throw invalidField(refused, 'cannot be changed of a callback');
        const nowMs = now();
        const changes: Partial<WebhookTable> = { updated_at_ms: nowMs };
        if (url !== undefined) changes.url = url;
        if (events !== undefined) changes.events = JSON.stringify(events);
        if (description !== undefined) changes.description = description;
        if (include_result !== undefined) changes.include_result = include_result ? 1 : 0;
        if (enabled === false && row.enabled === 1)
          Object.assign(changes, {
            enabled: 0,
            disabled_at_ms: nowMs,
            disabled_reason: 'owner',
            next_at_ms: null,
          });
        if (enabled === true && row.enabled === 0)
          Object.assign(changes, BLANK, { next_at_ms: row.waiting > 0 ? nowMs : null });
        await rows.updateWebhook(trx, row.id, changes);
        await sayListens(trx, caller.account_id);
        trx.notify(DUE);
        return { status: 200, body: await view(trx, { ...row, ...changes }) };
      });
    },
    deleteWebhook: ({ caller, params }) =>
      store.transact('webhook.delete', async (trx) => {
        const row = await own(trx, params.webhook_id, caller.account_id);
        await rows.updateWebhook(trx, row.id, { deleted: 1, next_at_ms: null, updated_at_ms: now() });
        await sayListens(trx, caller.account_id);
        return { status: 200, body: await view(trx, row) };
      }),
    rotateWebhookSecret: ({ caller, params, body }) =>
      store.transact('webhook.rotate', async (trx) => {
        const isOfCallbacks = params.webhook_id === 'callbacks';
        const row = isOfCallbacks ? null : await own(trx, params.webhook_id, caller.account_id);
        // All callbacks of the account have one secret.
        const signer = row === null || row.kind === 'callback' ? caller.account_id : row.id;
        const made = await secrets.renew(trx, signer, body.overlap_seconds * 1_000, now());
        return {
          status: 200,
          body: { secret: made.secret, secret_expires_at: toTimestampOrNull(made.previousUntilMs) },
        };
      }),
    listDeliveries: async ({ caller, params, query }) => {
      const webhook = await own(store.read, params.webhook_id, caller.account_id);
      const found = await rows.listDeliveries(store.read, {
        webhook_id: webhook.id,
        status: query.status,
        before: readCursor(query.cursor),
        limit: query.limit + 1,
      });
      return { status: 200, body: await pageById(found, query.limit, (row) => viewDelivery(row, webhook)) };
    },
    redeliver: ({ caller, params, write }) =>
      write(async (trx) => {
        const webhook = await own(trx, params.webhook_id, caller.account_id);
        const delivery = await rows.findDelivery(trx, params.delivery_id);
        if (delivery === undefined || delivery.webhook_id !== webhook.id) throw notFound('delivery');
        if (webhook.enabled === 0)
          throw new Problem('WEBHOOK_DISABLED', 'This webhook is switched off; switch it on first.');
        return { status: 202, body: viewDelivery(await again(trx, webhook, delivery, now()), webhook) };
      }),
  };
};
