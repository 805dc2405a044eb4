import { amountText } from '@aitbc/contracts';
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

const notEnough = (availableMinor: number, neededMinor: number) =>
  ({
    code: 'INSUFFICIENT_FUNDS',
    message: `${amountText(availableMinor)} AITBC are available, and ${amountText(neededMinor)} are needed.`,
  }) as const;

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
      message: `This key may spend ${amountText(left)} AITBC more, and ${amountText(hold.amountMinor)} are needed.`,
    };
  }
  return hold.availableMinor < hold.amountMinor ? notEnough(hold.availableMinor, hold.amountMinor) : null;
};

export type TransferRefusal = { code: 'INSUFFICIENT_FUNDS' | 'TRANSFER_CAP_EXCEEDED'; message: string };

/** May this be given away? @returns null when it may. */
export const refuseTransfer = (gift: {
  amountMinor: number;
  availableMinor: number;
  /** What the key gave away today. */
  movedMinor: number;
  capMinor: number | null;
}): TransferRefusal | null => {
  if (gift.capMinor !== null && gift.movedMinor + gift.amountMinor > gift.capMinor) {
    const left = Math.max(0, gift.capMinor - gift.movedMinor);
    return {
      code: 'TRANSFER_CAP_EXCEEDED',
      message: `This key may transfer ${amountText(left)} AITBC more today, and ${amountText(gift.amountMinor)} were asked for.`,
    };
  }
  return gift.availableMinor < gift.amountMinor ? notEnough(gift.availableMinor, gift.amountMinor) : null;
};

/** What jobs said of the end of a job. */
export interface JobEnd {
  ended_status: EndedStatus | null;
  /** The payment that the job was paid with, by its receipt. */
  ended_payment_id: string | null;
}

/**
 * What an ended job means for a payment of it: exactly the payment that its receipt names is released. One that came
 * after the attempt that completed was leased goes back, as does the payment of a job that ended otherwise.
 */
export const decisionOfJob = (job: JobEnd, paymentId: string): ResolutionKind | null => {
  if (job.ended_status === null) return null;
  return job.ended_status === 'completed' && job.ended_payment_id === paymentId ? 'release' : 'refund';
};

/** A payment past its deadline is looked at again so long after jobs was asked, or after its attempt must be over. */
const DEADLINE_GRACE_MS = 60_000;
export const nextDeadline = (nowMs: number, untilMs: number | null): number =>
  Math.max(nowMs, untilMs ?? 0) + DEADLINE_GRACE_MS;
