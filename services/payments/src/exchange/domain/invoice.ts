import { CONFIRMATIONS, type InvoiceStatus, SATOSHI_PER_BTC } from '@aitbc/contracts';
import { priceOfSats } from './amounts.ts';
import { isLive, type OutputState } from './output.ts';

/** What was agreed. An invoice that follows another agreed to nothing: both amounts are 0, its time was over at once. */
export interface Terms {
  readonly amount_sats: number;
  readonly amount_minor: number;
  readonly rate_minor: number;
  readonly expires_at_ms: number;
}

/** An output of this invoice that no credit has counted yet. */
export interface OutputFact {
  readonly state: OutputState;
  readonly value_sats: number;
  readonly confirmations: number;
  readonly first_seen_ms: number;
}

export interface Facts {
  readonly terms: Terms;
  /** What its credit was made as, once it was: that stands. */
  readonly credited_as: InvoiceStatus | null;
  readonly is_expired: boolean;
  readonly outputs: readonly OutputFact[];
  /**
   * What else a reorganisation could take back now: what the account has on the way or not yet final beside this invoice,
   * and what was credited to others and is not yet final. Infinite for an account that owes.
   */
  readonly elsewhere_sats: number;
  /** The rate of the day, for what is late. */
  readonly rate_now_minor: number;
}

export interface DueCredit {
  readonly amount_minor: number;
  readonly sats: number;
  /** Set when some of it is late. */
  readonly late_rate_minor: number | null;
  readonly status: InvoiceStatus;
}

export interface Assessment {
  readonly status: InvoiceStatus;
  readonly received_sats: number;
  /** Of the least confirmed live output. */
  readonly confirmations: number;
  readonly confirmations_required: number;
  /** What to credit now, with every output that is settled. */
  readonly due: DueCredit | null;
}

/** As deep as this nothing is taken back any more: the most that is ever asked for. */
export const FINAL_CONFIRMATIONS = Math.max(...CONFIRMATIONS.map(({ confirmations }) => confirmations));

export const confirmationsRequired = (sats: number): number => {
  const row = CONFIRMATIONS.find(
    ({ below_btc }) => below_btc === null || sats < Math.round(below_btc * SATOSHI_PER_BTC),
  );
  return row?.confirmations ?? Number.POSITIVE_INFINITY;
};

export const isLate = (
  terms: Pick<Terms, 'amount_sats' | 'expires_at_ms'>,
  output: Pick<OutputFact, 'first_seen_ms'>,
): boolean => terms.amount_sats === 0 || output.first_seen_ms > terms.expires_at_ms;

/** Deep enough in the chain to be credited. */
export const isSettled = (output: OutputFact, required: number): boolean =>
  output.state === 'confirmed' && output.confirmations >= required;

const sum = (outputs: readonly OutputFact[]): number =>
  outputs.reduce((total, output) => total + output.value_sats, 0);

const dueCredit = (facts: Facts, live: readonly OutputFact[], required: number): DueCredit | null => {
  const { terms } = facts;
  const settled = live.filter((output) => isSettled(output, required));
  const sats = sum(settled);
  const isWhole = sats >= terms.amount_sats;
  const isAllThatComes = facts.is_expired && settled.length === live.length;
  if (sats <= 0 || !(isWhole || isAllThatComes)) return null;

  const onTime = sum(settled.filter((output) => !isLate(terms, output)));
  const late = sats - onTime;
  const isPaidOnTime = onTime >= terms.amount_sats && terms.amount_sats > 0;
  const onTimeMinor = isPaidOnTime
    ? terms.amount_minor + priceOfSats(onTime - terms.amount_sats, terms.rate_minor)
    : priceOfSats(onTime, terms.rate_minor);
  const amount_minor = Math.min(
    onTimeMinor + priceOfSats(late, facts.rate_now_minor),
    Number.MAX_SAFE_INTEGER,
  );
  // Less than a minor unit is nothing that a ledger could move.
  if (amount_minor === 0) return null;
  const status = !isWhole
    ? 'underpaid'
    : !isPaidOnTime
      ? 'late'
      : sats > terms.amount_sats
        ? 'overpaid'
        : 'confirmed';
  return { amount_minor, sats, late_rate_minor: late > 0 ? facts.rate_now_minor : null, status };
};

/** Where an invoice stands, from what is known of the chain and nothing else. Total: every set of facts has an answer. */
export const assess = (facts: Facts): Assessment => {
  const live = facts.outputs.filter((output) => isLive(output.state));
  const received_sats = sum(live);
  const confirmations_required = confirmationsRequired(
    Math.max(facts.terms.amount_sats, received_sats) + facts.elsewhere_sats,
  );
  const confirmations =
    live.length === 0
      ? 0
      : Math.min(...live.map((output) => (output.state === 'confirmed' ? output.confirmations : 0)));
  const common = { received_sats, confirmations, confirmations_required };
  if (facts.credited_as !== null) return { ...common, status: facts.credited_as, due: null };
  const status =
    received_sats === 0
      ? facts.is_expired
        ? 'expired'
        : 'pending'
      : received_sats < facts.terms.amount_sats
        ? 'underpaid'
        : 'processing';
  return { ...common, status, due: dueCredit(facts, live, confirmations_required) };
};
