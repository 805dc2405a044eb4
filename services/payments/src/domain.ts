import { fromMinor } from '@aitbc/contracts';
import type { EndedStatus, PaymentRowStatus, ResolutionKind } from './tables.ts';

/**
 * Where a payment stands. `releasing` and `refunding` are decided and not yet carried out: to the outside the money
 * is still in escrow.
 */
export type State = 'none' | 'escrowed' | 'releasing' | 'refunding' | 'released' | 'refunded' | 'failed';
export type Event = 'hold' | 'refuse' | 'release' | 'refund' | 'settle';
export type Outcome = State | 'ignore' | 'conflict';

/** Every (state, event): a state to go to, `ignore` (it is so already), or `conflict` (another thing happened first). */
export const PAYMENT: Record<State, Record<Event, Outcome>> = {
  none: {
    hold: 'escrowed',
    refuse: 'failed',
    release: 'conflict',
    refund: 'conflict',
    settle: 'conflict',
  },
  escrowed: {
    hold: 'ignore',
    refuse: 'conflict',
    release: 'releasing',
    refund: 'refunding',
    settle: 'conflict',
  },
  releasing: {
    hold: 'ignore',
    refuse: 'conflict',
    release: 'ignore',
    refund: 'conflict',
    settle: 'released',
  },
  refunding: {
    hold: 'ignore',
    refuse: 'conflict',
    release: 'conflict',
    refund: 'ignore',
    settle: 'refunded',
  },
  released: {
    hold: 'ignore',
    refuse: 'conflict',
    release: 'ignore',
    refund: 'conflict',
    settle: 'ignore',
  },
  refunded: {
    hold: 'ignore',
    refuse: 'conflict',
    release: 'conflict',
    refund: 'ignore',
    settle: 'ignore',
  },
  failed: {
    hold: 'conflict',
    refuse: 'ignore',
    release: 'conflict',
    refund: 'conflict',
    settle: 'conflict',
  },
};

/** The state of a row and its decision, if there is one. */
export const stateOf = (status: PaymentRowStatus, decision: ResolutionKind | null): State => {
  if (status !== 'escrowed' || decision === null) return status;
  return decision === 'release' ? 'releasing' : 'refunding';
};

/**
 * The fee is rounded down to the minor unit and the payee gets the rest, so that rounding favours who did the work: of
 * one minor unit the payee gets all. Exact: through BigInt.
 */
export const splitFee = (amountMinor: number, feeBasisPoints: number): { earned: number; fee: number } => {
  const fee = Number((BigInt(amountMinor) * BigInt(feeBasisPoints)) / 10_000n);
  return { earned: amountMinor - fee, fee };
};

export type Refusal = { code: 'INSUFFICIENT_FUNDS' | 'SPEND_CAP_EXCEEDED'; message: string };

/** May this be held? @returns null when it may. */
export const refuseHold = (hold: {
  amountMinor: number;
  availableMinor: number;
  spentMinor: number;
  capMinor: number | null;
}): Refusal | null => {
  if (hold.capMinor !== null && hold.spentMinor + hold.amountMinor > hold.capMinor) {
    const left = Math.max(0, hold.capMinor - hold.spentMinor);
    return {
      code: 'SPEND_CAP_EXCEEDED',
      message: `This key may spend ${fromMinor(left)} AITBC more, and ${fromMinor(hold.amountMinor)} are needed.`,
    };
  }
  if (hold.availableMinor < hold.amountMinor) {
    return {
      code: 'INSUFFICIENT_FUNDS',
      message: `${fromMinor(hold.availableMinor)} AITBC are available, and ${fromMinor(hold.amountMinor)} are needed.`,
    };
  }
  return null;
};

/** What payments knows of a job. */
export interface JobFacts {
  started_attempt: number;
  deadline_at_ms: number | null;
  ended_status: EndedStatus | null;
  miner_account_id: string | null;
}

/** What an ended job means for its payment. A job that completed without a known miner cannot be paid out. */
export const decisionOfJob = (job: JobFacts): ResolutionKind | null => {
  if (job.ended_status === null) return null;
  return job.ended_status === 'completed' && job.miner_account_id !== null ? 'release' : 'refund';
};

/** A job that runs past its payment's deadline gets so long before it is looked at again. */
const RUNNING_GRACE_MS = 60_000;

/** At a payment's deadline: what started runs on and the deadline moves with it; what never started is refunded. */
export const atDeadline = (
  job: JobFacts,
  nowMs: number,
): { kind: ResolutionKind } | { expires_at_ms: number } => {
  const decision = decisionOfJob(job);
  if (decision !== null) return { kind: decision };
  if (job.started_attempt === 0) return { kind: 'refund' };
  return { expires_at_ms: Math.max(job.deadline_at_ms ?? 0, nowMs) + RUNNING_GRACE_MS };
};

export type Actor = 'payer' | 'payee' | 'admin';

/** Who may ask for a refund when: the payee and operators always, the payer of a job that did not and will not complete. */
export const mayRefund = (actor: Actor, job: JobFacts): boolean =>
  actor !== 'payer' ||
  (job.ended_status === null ? job.started_attempt === 0 : job.ended_status !== 'completed');
