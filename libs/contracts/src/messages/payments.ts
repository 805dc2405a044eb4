import { z } from 'zod';
import { Id } from '../ids.ts';
import { defineMessage } from '../message.ts';
import { Minor } from '../money.ts';

/** The height of the first sealed block. */
export const FIRST_BLOCK_HEIGHT = 0;

export const paymentsMessages = {
  /** Funds for a job stand in escrow: it may be dispatched. */
  'payments.escrowed': defineMessage({
    version: 1,
    from: 'payments',
    to: ['jobs'],
    attempts: 10,
    schema: z.strictObject({ payment_id: Id, job_id: Id, amount_minor: Minor }),
  }),
  /** The hold that came with a submit was refused: the job fails with this code. */
  'payments.refused': defineMessage({
    version: 1,
    from: 'payments',
    to: ['jobs'],
    attempts: 10,
    schema: z.strictObject({
      payment_id: Id,
      job_id: Id,
      code: z.enum(['INSUFFICIENT_FUNDS', 'SPEND_CAP_EXCEEDED']),
      message: z.string(),
    }),
  }),
  /**
   * Somebody wants the money of a job back, or its payment's deadline has come. Jobs alone knows whether the job can
   * still be stopped: it ends the job (jobs.ended, by which the money moves) or refuses (jobs.refund_refused).
   */
  'payments.refund_requested': defineMessage({
    version: 1,
    from: 'payments',
    to: ['jobs'],
    attempts: 10,
    schema: z.strictObject({
      /** Null when the deadline asks: nobody waits for that answer. */
      request_id: Id.nullable(),
      payment_id: Id,
      job_id: Id,
      payer_account_id: Id,
      actor: z.enum(['payer', 'payee', 'operator', 'deadline']),
      account_id: Id.nullable(),
      reason: z.string().max(500),
    }),
  }),
  /** A payment reached its end: exactly one of the two, once. */
  'payments.resolved': defineMessage({
    version: 1,
    from: 'payments',
    to: ['jobs', 'miners'],
    attempts: 10,
    lingers: () => true,
    schema: z.strictObject({
      payment_id: Id,
      job_id: Id,
      kind: z.enum(['released', 'refunded']),
      /** Who paid. Left out by the release before this one. */
      payer_account_id: Id.optional(),
      payee_account_id: Id.nullable(),
      miner_id: Id.nullable(),
      /** What the payee got, fee taken off; 0 for a refund. */
      earned_minor: Minor,
      /** Said again to a jobs file that missed it: it was counted when it was said first. */
      is_repeat: z.boolean().optional(),
    }),
  }),
  /** A booking's funds stand in escrow. */
  'payments.booking_held': defineMessage({
    version: 1,
    from: 'payments',
    to: ['market'],
    attempts: 10,
    schema: z.strictObject({ order_id: Id, payment_id: Id }),
  }),
  'payments.booking_refused': defineMessage({
    version: 1,
    from: 'payments',
    to: ['market'],
    attempts: 10,
    schema: z.strictObject({
      order_id: Id,
      code: z.enum(['INSUFFICIENT_FUNDS', 'SPEND_CAP_EXCEEDED']),
      message: z.string(),
    }),
  }),
  /** An operator wants a booking's money back: market ends the order with nothing to pay, or says again how it ended. */
  'payments.booking_refund_requested': defineMessage({
    version: 1,
    from: 'payments',
    to: ['market'],
    attempts: 10,
    schema: z.strictObject({ payment_id: Id, order_id: Id, account_id: Id, reason: z.string().max(500) }),
  }),
  /**
   * A booking's escrow is empty: what went to the owner (before the fee) and what went back. Said again when market says
   * again how the order ended.
   */
  'payments.booking_settled': defineMessage({
    version: 1,
    from: 'payments',
    to: ['market'],
    attempts: 10,
    schema: z.strictObject({ order_id: Id, paid_minor: Minor, refunded_minor: Minor }),
  }),
  /**
   * A block was sealed: the balances it changed, as they stand at its height. A block that touches more than 1,000
   * accounts comes in several parts. Escrow, mint, platform and treasury accounts are not in it: they cannot vote.
   * Every block is told of, from FIRST_BLOCK_HEIGHT on and without a gap; one that changed no balance has an empty list.
   */
  'payments.block_sealed': defineMessage({
    version: 1,
    from: 'payments',
    to: ['governance'],
    attempts: 10,
    schema: z.strictObject({
      height: z.number().int().min(0),
      part: z.number().int().min(0),
      parts: z.number().int().min(1),
      sealed_at_ms: z.number().int(),
      /** What exists outside the mint, at this height: no less than all voters and the treasury hold. */
      supply_minor: Minor,
      treasury_minor: Minor,
      balances: z.array(z.strictObject({ account_id: Id, balance_minor: Minor })).max(1_000),
    }),
  }),
  /** A treasury payment that a vote approved was made, or could not be. */
  'payments.allocation_settled': defineMessage({
    version: 1,
    from: 'payments',
    to: ['governance'],
    attempts: 10,
    schema: z.strictObject({
      proposal_id: Id,
      ok: z.boolean(),
      transaction_hash: z.string().nullable(),
      reason: z.string().nullable(),
    }),
  }),
} as const;
