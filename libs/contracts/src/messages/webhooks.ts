import { z } from 'zod';
import { Id } from '../ids.ts';
import { defineMessage } from '../message.ts';
import type { ServiceName } from '../names.ts';
import {
  BookingWebhook,
  CALL_ERRORS,
  InvoiceWebhook,
  JobWebhook,
  MinerWebhook,
  PaymentWebhook,
  ProposalWebhook,
  WebhookUrl,
} from '../webhook-events.ts';

const Ms = z.number().int().nonnegative();
/** Accounts that one `gateway.listeners_changed` names at most. */
export const LISTENERS_TOLD_MAX = 100;

/** Something that a webhook tells of, from the service that owns it: for accounts that listen, and for all others not at all. */
const announced = <F extends ServiceName, S extends z.ZodType>(from: F, fact: S) =>
  defineMessage({
    version: 1,
    from,
    to: ['gateway'],
    attempts: 10,
    lingers: () => true,
    schema: z.strictObject({
      /** Whose it is. Null: everybody's. */
      account_ids: z.array(Id).min(1).max(2).nullable(),
      /** What it is about: deliveries about one object keep their order. */
      object_id: Id,
      at_ms: Ms,
      fact,
      /** Beside the webhooks of the account. */
      callback_url: WebhookUrl.optional(),
    }),
  });

export const webhookMessages = {
  'jobs.announced': announced('jobs', JobWebhook),
  'payments.announced': announced('payments', z.union([PaymentWebhook, InvoiceWebhook])),
  'market.announced': announced('market', BookingWebhook),
  'miners.announced': announced('miners', MinerWebhook),
  'governance.announced': announced('governance', ProposalWebhook),
  /**
   * Whether accounts have a webhook that is on: their owners announce for those alone. Said with each change, and all of it
   * again once an hour, for a file that was put back from an older copy.
   */
  'gateway.listeners_changed': defineMessage({
    version: 1,
    from: 'gateway',
    to: ['jobs', 'miners', 'market', 'payments'],
    attempts: 10,
    schema: z.strictObject({
      accounts: z
        .array(
          z.strictObject({
            account_id: Id,
            /** Rises with each change of this account; an older one is ignored. */
            revision: z.number().int().min(1),
            listens: z.boolean(),
          }),
        )
        .min(1)
        .max(LISTENERS_TOLD_MAX),
    }),
  }),
  /** One call of a stranger's address. A hint, as what comes of it: the facts are rows of the gateway, which says it again. */
  'gateway.call_due': defineMessage({
    version: 1,
    from: 'gateway',
    to: ['webhooks'],
    attempts: 1,
    schema: z.strictObject({
      delivery_id: Id,
      attempt: z.number().int().min(1),
      /** By the gateway's clock. After it nobody calls any more: its signature would be old. */
      call_before_ms: Ms,
      /** Address, headers and body, encrypted: Redis is to hold no result, and no address with a secret in it. */
      locked: z.string(),
    }),
  }),
  /** What came of it. The gateway takes the word about the attempt that is under way, once. */
  'webhooks.called': defineMessage({
    version: 1,
    from: 'webhooks',
    to: ['gateway'],
    attempts: 1,
    schema: z.strictObject({
      delivery_id: Id,
      attempt: z.number().int().min(1),
      started_at_ms: Ms,
      duration_ms: Ms.nullable(),
      /** Of HTTP. */
      status: z.number().int().nullable(),
      error: z
        // The last: it came too late, and nobody was called.
        .enum([...CALL_ERRORS, 'not_called'])
        .nullable(),
      response: z.string().max(4_096).nullable(),
    }),
  }),
} as const;
