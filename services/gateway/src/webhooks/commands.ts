import { sendAs, type Trx } from '@aitbc/chassis';
import { newId, type Payload, WEBHOOKS_PER_ACCOUNT_MAX, type WebhookFact } from '@aitbc/contracts';
import type { DeliveryTable, WebhookTable } from '../tables.ts';
import {
  AGAIN_AFTER_MS,
  ATTEMPTS_KEPT_MAX,
  type Attempt,
  CALLS_PER_ACCOUNT_MAX,
  failed,
  isSuccess,
  LOST_AFTER_MS,
  NEW_STANDING,
  retryAfter,
  succeeded,
  WAITING_PER_ACCOUNT_MAX,
  WAITING_PER_ENDPOINT_MAX,
} from './domain.ts';
import * as rows from './store.ts';

const send = sendAs<'gateway'>();

/** The topic that says: something may be due. */
export const DUE = 'webhooks';
/** Others of the account, or of all, have what could be had. */
const BUSY_AGAIN_MS = 250;

/** What a delivery says, and of what. */
export interface Event {
  readonly event_id: string;
  readonly object_id: string;
  readonly at_ms: number;
  readonly type: WebhookFact['type'];
  /** JSON. */
  readonly data: string;
}

/** What a webhook begins with, and again each time that it is switched on. */
export const BLANK = {
  ...NEW_STANDING,
  enabled: 1,
  disabled_at_ms: null,
  disabled_reason: null,
} as const satisfies Partial<WebhookTable>;
export const newWebhook = (
  given: Pick<WebhookTable, 'account_id' | 'kind' | 'url' | 'events' | 'description' | 'include_result'>,
  nowMs: number,
): WebhookTable => ({
  ...BLANK,
  ...given,
  id: newId(),
  deleted: 0,
  next_at_ms: null,
  waiting: 0,
  calling: 0,
  kept: 0,
  skipped: 0,
  created_at_ms: nowMs,
  updated_at_ms: nowMs,
});

/** @param own those of the account, this one among them; they are kept as they become */
const enqueue = async (
  trx: Trx,
  webhook: WebhookTable,
  own: readonly WebhookTable[],
  event: Event,
  url: string | null,
  nowMs: number,
): Promise<void> => {
  const ofAccount = own.reduce((sum, { waiting }) => sum + waiting, 0);
  if (webhook.waiting >= WAITING_PER_ENDPOINT_MAX || ofAccount >= WAITING_PER_ACCOUNT_MAX) {
    webhook.skipped += 1;
    await rows.saveCounters(trx, webhook);
    return;
  }
  await rows.insertDelivery(trx, {
    ...event,
    id: newId(),
    webhook_id: webhook.id,
    url,
    status: 'waiting',
    attempt: 0,
    failures: 0,
    attempts: '[]',
    due_at_ms: nowMs,
    since_ms: nowMs,
    ended_at_ms: null,
  });
  webhook.waiting += 1;
  lookAt(webhook, nowMs);
  await rows.saveCounters(trx, webhook);
  trx.notify(DUE);
};

/** Not before its rest is over. */
const lookAt = (webhook: WebhookTable, atMs: number): void => {
  const next = Math.max(atMs, webhook.rest_until_ms);
  webhook.next_at_ms = webhook.next_at_ms === null ? next : Math.min(webhook.next_at_ms, next);
};

const wants = ({ kind, enabled, events }: WebhookTable, type: string): boolean =>
  kind === 'endpoint' && enabled === 1 && (JSON.parse(events) as string[]).includes(type);

const JOB_ENDS = ['job.completed', 'job.failed', 'job.cancelled', 'job.expired'];

/**
 * The webhook behind a job's `callback_url`: one for each origin, so that a dead one costs no other. An account with very many
 * origins gives up the one that was used longest ago.
 */
const callbackOf = async (
  trx: Trx,
  own: WebhookTable[],
  accountId: string,
  origin: string,
  nowMs: number,
): Promise<WebhookTable> => {
  const callbacks = own.filter(({ kind }) => kind === 'callback');
  const known = callbacks.find(({ url }) => url === origin);
  if (known !== undefined) return known;
  if (callbacks.length >= WEBHOOKS_PER_ACCOUNT_MAX) {
    const idle = callbacks.filter(({ waiting }) => waiting === 0).at(-1);
    // All of them are busy: it shares one, with which it keeps its own address.
    if (idle === undefined) return callbacks[0] as WebhookTable;
    await rows.updateWebhook(trx, idle.id, { deleted: 1, next_at_ms: null, updated_at_ms: nowMs });
  }
  const made = newWebhook(
    {
      account_id: accountId,
      kind: 'callback',
      url: origin,
      events: JSON.stringify(JOB_ENDS),
      description: null,
      include_result: 0,
    },
    nowMs,
  );
  await rows.insertWebhook(trx, made);
  own.push(made);
  return made;
};

/** The consumer of what the services announce. */
export const announced = async (
  trx: Trx,
  said: Payload<
    'jobs.announced' | 'payments.announced' | 'market.announced' | 'miners.announced' | 'governance.announced'
  >,
  nowMs: number,
): Promise<void> => {
  const { account_ids, object_id, at_ms, fact, callback_url } = said;
  const event: Event = {
    event_id: newId(),
    object_id,
    at_ms,
    type: fact.type,
    data: JSON.stringify(fact.data),
  };
  if (account_ids === null) {
    await rows.insertBroadcast(trx, { ...event, after_id: '' });
    trx.notify(DUE);
    return;
  }
  for (const accountId of account_ids) {
    const own = await rows.webhooksOf(trx, accountId);
    for (const webhook of own)
      if (wants(webhook, event.type)) await enqueue(trx, webhook, own, event, null, nowMs);
    if (callback_url === undefined) continue;
    const callback = await callbackOf(trx, own, accountId, new URL(callback_url).origin, nowMs);
    if (callback.enabled === 1) await enqueue(trx, callback, own, event, callback_url, nowMs);
  }
};

/** A page of all who listen. @returns false when there is nothing left to be told */
export const passOn = async (trx: Trx, pageMax: number, nowMs: number): Promise<boolean> => {
  const broadcast = await rows.firstBroadcast(trx);
  if (broadcast === undefined) return false;
  const { after_id, ...event } = broadcast;
  const page = await rows.webhooksAfter(trx, after_id, pageMax);
  const last = page.at(-1);
  if (last === undefined) {
    await rows.endBroadcast(trx, event.event_id);
    return true;
  }
  // Another process may be at the same page.
  if ((await rows.moveBroadcast(trx, event.event_id, after_id, last.id)) !== 1) return true;
  for (const webhook of page)
    if (wants(webhook, event.type)) {
      const own = await rows.webhooksOf(trx, webhook.account_id);
      const one = own.find(({ id }) => id === webhook.id);
      if (one !== undefined) await enqueue(trx, one, own, event, null, nowMs);
    }
  return true;
};

/** Tells the other services whether this account has a webhook, when that changed. */
export const sayListens = async (trx: Trx, accountId: string): Promise<void> => {
  const own = await rows.webhooksOf(trx, accountId);
  const listens = own.some(({ kind, enabled }) => kind === 'endpoint' && enabled === 1);
  const known = await rows.findListener(trx, accountId);
  if (listens === (known?.listens === 1)) return;
  const revision = (known?.revision ?? 0) + 1;
  await rows.saveListener(trx, { account_id: accountId, revision, listens: listens ? 1 : 0 });
  await send(trx, 'gateway.listeners_changed', { accounts: [{ account_id: accountId, revision, listens }] });
};

/** A call that may be made now: its row says that it is being made. */
export interface Due {
  readonly webhook: WebhookTable;
  readonly delivery: DeliveryTable;
}

/**
 * Takes what is due of a webhook: of each object the first, as many as the webhook and its account may have at once.
 * @param room what all may have
 */
export const take = async (trx: Trx, webhookId: string, room: number, nowMs: number): Promise<Due[]> => {
  const webhook = await rows.findWebhook(trx, webhookId);
  if (webhook === undefined || webhook.next_at_ms === null || webhook.next_at_ms > nowMs) return [];
  const due: Due[] = [];
  if (webhook.enabled === 0 || webhook.deleted === 1) webhook.next_at_ms = null;
  else {
    const own = await rows.webhooksOf(trx, webhook.account_id);
    const ofAccount = own.reduce((sum, { calling }) => sum + calling, 0);
    const others = Math.min(room, CALLS_PER_ACCOUNT_MAX - ofAccount);
    const free = Math.max(0, Math.min(webhook.at_once - webhook.calling, others));
    const heads = free === 0 ? [] : await rows.headsOf(trx, webhookId, nowMs, free);
    for (const delivery of heads) {
      Object.assign(delivery, {
        status: 'calling',
        attempt: delivery.attempt + 1,
        due_at_ms: nowMs + LOST_AFTER_MS,
      });
      await rows.saveDelivery(trx, delivery);
      due.push({ webhook, delivery });
    }
    webhook.calling += heads.length;
    if (heads.length < free) webhook.next_at_ms = await rows.nextDue(trx, webhookId, nowMs);
    // What comes of a call looks again.
    else webhook.next_at_ms = webhook.calling >= webhook.at_once ? null : nowMs + BUSY_AGAIN_MS;
  }
  await rows.saveCounters(trx, webhook);
  return due;
};

const logged = (delivery: DeliveryTable, attempt: Attempt): string => {
  const before = (JSON.parse(delivery.attempts) as Attempt[]).filter(
    (one) => one.attempt !== attempt.attempt,
  );
  return JSON.stringify([...before, attempt].sort((a, b) => a.attempt - b.attempt).slice(-ATTEMPTS_KEPT_MAX));
};

/** What came of an attempt. @param random 0 to 1, for the delays */
export const called = async (
  trx: Trx,
  report: Payload<'webhooks.called'>,
  nowMs: number,
  random: number,
): Promise<void> => {
  const delivery = await rows.findDelivery(trx, report.delivery_id);
  if (delivery === undefined) return;
  const webhook = await rows.findWebhook(trx, delivery.webhook_id);
  if (webhook === undefined) return;
  const isUnderWay = delivery.status === 'calling' && delivery.attempt === report.attempt;
  const isDelivered = isSuccess(report.status);
  // It was taken for lost, and is heard of at last: what the log says is put right, and what was taken is not sent again.
  if (!isUnderWay) {
    const known = (JSON.parse(delivery.attempts) as Attempt[]).find(
      ({ attempt }) => attempt === report.attempt,
    );
    if (known?.error !== 'interrupted' || report.error === 'interrupted' || report.error === 'not_called')
      return;
  }
  if (report.error !== 'not_called') {
    const { delivery_id: _id, error, ...attempt } = report;
    delivery.attempts = logged(delivery, { ...attempt, error });
  }
  if (isUnderWay) webhook.calling -= 1;
  const isOpen = isUnderWay || delivery.status === 'waiting';
  const end = (status: 'delivered' | 'failed'): void => {
    Object.assign(delivery, { status, ended_at_ms: nowMs });
    webhook.waiting -= 1;
    webhook.kept += 1;
  };
  if (isDelivered && isOpen) {
    Object.assign(webhook, succeeded(webhook));
    end('delivered');
  } else if (!isUnderWay) {
    await rows.saveDelivery(trx, delivery);
    return;
  } else if (report.error === 'interrupted' || report.error === 'not_called') {
    Object.assign(delivery, { status: 'waiting', due_at_ms: nowMs + AGAIN_AFTER_MS });
  } else {
    const { standing, disabled } = failed(webhook, report.status, nowMs, random);
    Object.assign(webhook, standing);
    delivery.failures += 1;
    const delayMs = retryAfter(delivery.failures, random);
    if (delayMs === null) end('failed');
    else Object.assign(delivery, { status: 'waiting', due_at_ms: nowMs + delayMs });
    if (disabled !== null && webhook.enabled === 1) {
      Object.assign(webhook, { enabled: 0, disabled_at_ms: nowMs, disabled_reason: disabled });
      const { enabled, disabled_at_ms, disabled_reason } = webhook;
      await rows.updateWebhook(trx, webhook.id, { enabled, disabled_at_ms, disabled_reason });
      await sayListens(trx, webhook.account_id);
    }
  }
  if (webhook.enabled === 1 && webhook.waiting > 0) {
    webhook.next_at_ms = null;
    lookAt(webhook, nowMs);
    trx.notify(DUE);
  } else webhook.next_at_ms = null;
  await rows.saveDelivery(trx, delivery);
  await rows.saveCounters(trx, webhook);
};

/** Nobody will call it any more. */
export const giveUp = async (trx: Trx, deliveryId: string, nowMs: number): Promise<void> => {
  const delivery = await rows.findDelivery(trx, deliveryId);
  if (delivery?.status !== 'waiting') return;
  const webhook = await rows.findWebhook(trx, delivery.webhook_id);
  if (webhook === undefined) return;
  await rows.saveDelivery(trx, { ...delivery, status: 'failed', ended_at_ms: nowMs });
  webhook.waiting -= 1;
  webhook.kept += 1;
  // What stood behind it may be its object's first now.
  if (webhook.enabled === 1 && webhook.waiting > 0) lookAt(webhook, nowMs);
  await rows.saveCounters(trx, webhook);
};

/** Once more, or without waiting. */
export const again = async (
  trx: Trx,
  webhook: WebhookTable,
  delivery: DeliveryTable,
  nowMs: number,
): Promise<DeliveryTable> => {
  if (delivery.status === 'calling') return delivery;
  if (delivery.ended_at_ms !== null) {
    webhook.waiting += 1;
    webhook.kept -= 1;
  }
  const waiting: DeliveryTable = {
    ...delivery,
    status: 'waiting',
    failures: 0,
    due_at_ms: nowMs,
    since_ms: nowMs,
    ended_at_ms: null,
  };
  await rows.saveDelivery(trx, waiting);
  // Its owner asks: no rest.
  webhook.rest_until_ms = 0;
  lookAt(webhook, nowMs);
  await rows.saveCounters(trx, webhook);
  trx.notify(DUE);
  return waiting;
};
