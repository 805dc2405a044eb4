import { z } from 'zod';
import { Id } from '../ids.ts';
import { JobTypeName } from '../job-types.ts';
import { defineMessage } from '../message.ts';
import { Minor } from '../money.ts';

/** Milliseconds since the epoch; messages carry numbers, only the public API speaks ISO. */
const Ms = z.number().int().nonnegative();

/**
 * Rises with every offer that jobs makes, over restarts too. The same number again is a redelivery and gets the same
 * match again; a lower one is old news.
 */
const Offer = z.number().int().positive();

/** Which of several processes of jobs holds a poll, and gets its match. Left out where there is one. */
const Place = z.number().int().nonnegative().optional();

/** Jobs that one `jobs.payments_missed` asks about at most. */
export const PAYMENTS_MISSED_MAX = 100;

/** What a job needs, exactly as it was asked for: nothing is rounded. */
const RequirementMessage = z.strictObject({
  job_type: JobTypeName,
  model: z.string().max(200).nullable(),
  gpu_model: z.string().max(200).nullable(),
  min_vram_gb: z.number().nullable(),
  cuda_version_min: z.string().max(20).nullable(),
  region: z.string().max(100).nullable(),
  /** The only miner that may run it. */
  miner_id: Id.optional(),
  /** The highest reserve price of a miner that it meets; 0 for one that pays nothing. */
  price_minor: Minor,
});

/** What a miner can do. A poll without its description names a kind that was described before. */
const CapabilityMessage = z.strictObject({
  capabilities: z.array(z.string().max(64)).max(64),
  gpus: z.array(z.strictObject({ model: z.string().max(100), vram_gb: z.number() })).max(64),
  cuda_version: z.string().max(20).nullable(),
  models: z.array(z.string().max(200)).max(500),
  region: z.string().max(100).nullable(),
  /** Of a miner that a job names: its kind is its own. */
  miner_id: Id.optional(),
  price_per_job_minor: Minor,
});

export const jobsMessages = {
  /** A job exists. Payments learns who owns it and holds `payment_amount_minor` when that is not null. */
  'jobs.submitted': defineMessage({
    version: 1,
    from: 'jobs',
    to: ['payments'],
    attempts: 10,
    lingers: ({ payment_amount_minor }) => payment_amount_minor === null,
    schema: z.strictObject({
      job_id: Id,
      account_id: Id,
      credential_id: Id.nullable(),
      spend_cap_minor: Minor.nullable(),
      payment_amount_minor: Minor.nullable(),
      submitted_at_ms: Ms,
      /** When it expires unless a miner holds it: its funds wait at least so long. */
      expires_at_ms: Ms.optional(),
    }),
  }),
  /**
   * This file was put back from an older copy, and does not know what became of the money of these jobs meanwhile: say it
   * again. None of them runs until then.
   */
  'jobs.payments_missed': defineMessage({
    version: 1,
    from: 'jobs',
    to: ['payments'],
    attempts: 10,
    schema: z.strictObject({ job_ids: z.array(Id).min(1).max(PAYMENTS_MISSED_MAX) }),
  }),
  /**
   * A job may run: match it now or park it. Sent again by the reconciler; parking twice is one parking.
   * This and the three that follow are hints: the facts are in the file of jobs, which offers again what got lost.
   */
  'jobs.queued': defineMessage({
    version: 2,
    from: 'jobs',
    to: ['dispatcher'],
    attempts: 10,
    schema: z.strictObject({
      offer: Offer,
      job_id: Id,
      account_id: Id,
      requirement: RequirementMessage,
      /** What is held for it; 0 when it pays nothing. */
      pays_minor: Minor,
      priority: z.number().int().min(0).max(9),
      /** Accounts whose miners already lost this job, while another's fits; and a miner that could not run it just now. */
      avoid: z.array(Id).max(33),
    }),
  }),
  /** A job left the queue without being matched (cancelled, expired). */
  'jobs.withdrawn': defineMessage({
    version: 2,
    from: 'jobs',
    to: ['dispatcher'],
    attempts: 10,
    schema: z.strictObject({ offer: Offer, job_id: Id }),
  }),
  /** A miner's long-poll is open with free slots. */
  'jobs.capacity_opened': defineMessage({
    version: 2,
    from: 'jobs',
    to: ['dispatcher'],
    attempts: 10,
    schema: z.strictObject({
      offer: Offer,
      /** When this process of jobs started: polls of one before it are nobody's any more. */
      epoch: Ms,
      place: Place,
      poll_id: Id,
      miner_id: Id,
      account_id: Id,
      slots: z.number().int().min(1).max(32),
      /** Names what the miner can do; equal miners share one. */
      kind: z.string().max(64),
      /** What `kind` stands for; left out when the dispatchers were told. They ask when they do not know. */
      capability: CapabilityMessage.optional(),
      /** Lower is offered work first (quality, load). */
      rank: z.number(),
    }),
  }),
  /** The long-poll ended without work. */
  'jobs.capacity_closed': defineMessage({
    version: 1,
    from: 'jobs',
    to: ['dispatcher'],
    attempts: 10,
    schema: z.strictObject({ poll_id: Id, place: Place }),
  }),
  /** A job was leased to a miner. */
  'jobs.started': defineMessage({
    version: 1,
    from: 'jobs',
    to: ['payments', 'miners'],
    attempts: 10,
    lingers: () => true,
    schema: z.strictObject({
      job_id: Id,
      miner_id: Id,
      miner_account_id: Id,
      attempt: z.number().int().min(1),
      deadline_at_ms: Ms,
      /** Until then its miner counts as busy, though it gives no sign: a program of the original coordinator. */
      quiet_until_ms: Ms.optional(),
    }),
  }),
  /** A lease is over, whatever the job does next. Feeds counters and reputation; tells the agent to stop. */
  'jobs.attempt_ended': defineMessage({
    version: 1,
    from: 'jobs',
    to: ['miners'],
    attempts: 10,
    lingers: () => true,
    schema: z.strictObject({
      job_id: Id,
      miner_id: Id,
      attempt: z.number().int().min(1),
      /** `returned`: it never reached the miner, or was given back before any work; counts for nobody. */
      outcome: z.enum(['completed', 'failed', 'timed_out', 'lost', 'cancelled', 'expired', 'returned']),
      /** Whose job it was. Left out by the release before this one. */
      client_account_id: Id.optional(),
    }),
  }),
  /** A lease ended without a result and the job waits again: nobody holds it, and its next attempt may be paid for. */
  'jobs.requeued': defineMessage({
    version: 1,
    from: 'jobs',
    to: ['payments'],
    attempts: 10,
    lingers: () => true,
    schema: z.strictObject({ job_id: Id, attempt: z.number().int().min(1) }),
  }),
  /**
   * A job reached a terminal state: the one word by which payments moves the money of a job. Said once, and again in the
   * same words when payments asks about a job that has ended.
   */
  'jobs.ended': defineMessage({
    version: 1,
    from: 'jobs',
    to: ['payments'],
    attempts: 10,
    lingers: () => true,
    schema: z.strictObject({
      job_id: Id,
      account_id: Id,
      status: z.enum(['completed', 'failed', 'cancelled', 'expired']),
      miner_id: Id.nullable(),
      miner_account_id: Id.nullable(),
      /** False when no miner ever held it. */
      started: z.boolean(),
      ended_at_ms: Ms,
      /**
       * The payment that stood in escrow when the attempt that completed was leased: this one is released, any other of
       * the job goes back. Null when it did not complete, or ran unpaid. Left out by the release before this one, in
       * which a completed job was paid by whatever was held.
       */
      payment_id: Id.nullable().optional(),
      /** The price in the receipt: the whole of that payment, 0 without one. */
      price_minor: Minor.optional(),
    }),
  }),
  /** No to payments.refund_requested: the job stays as it is, and so does its money. Yes is jobs.ended. */
  'jobs.refund_refused': defineMessage({
    version: 1,
    from: 'jobs',
    to: ['payments'],
    attempts: 10,
    schema: z.strictObject({
      payment_id: Id,
      job_id: Id,
      /** As it was asked; null when the payment's own deadline asked. */
      request_id: Id.nullable(),
      code: z.enum(['JOB_RUNNING', 'JOB_COMPLETED', 'STALE_LEASE']),
      /** When the attempt that runs must be over: asking before then gets the same answer. */
      until_ms: Ms.nullable(),
    }),
  }),
  /** Miners whose poll, progress or result was seen in the last seconds: one message each 5 s, not one a poll. */
  'jobs.miners_seen': defineMessage({
    version: 1,
    from: 'jobs',
    to: ['miners'],
    attempts: 1,
    lingers: () => true,
    schema: z.strictObject({ miner_ids: z.array(Id).max(20_000), seen_at_ms: Ms }),
  }),
} as const;
