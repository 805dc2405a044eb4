import { PARTS_PER_WHOLE, PROPOSAL_POWER_SHARE_MAX, type ProposalStatus } from '@aitbc/contracts';

/** `executing` is an allocation that the ledger has been told of and has not answered; callers see it as queued. */
export const STATES = [
  'active',
  'passed',
  'rejected',
  'queued',
  'executing',
  'executed',
  'cancelled',
  'execution_failed',
] as const;
export type State = (typeof STATES)[number];

/** What can happen to a proposal. */
export const EVENTS = [
  'approved',
  'refused',
  'timelock_started',
  'effect_requested',
  'effect_made',
  'effect_failed',
  'cancelled',
] as const;
export type Event = (typeof EVENTS)[number];

/** A state to go to; `ignore`: it happened already; `conflict`: it cannot happen now. */
export type Outcome = State | 'ignore' | 'conflict';

const NEXT: Record<State, Record<Event, Outcome>> = {
  active: {
    approved: 'passed',
    refused: 'rejected',
    timelock_started: 'conflict',
    effect_requested: 'conflict',
    effect_made: 'conflict',
    effect_failed: 'conflict',
    cancelled: 'cancelled',
  },
  passed: {
    approved: 'ignore',
    refused: 'conflict',
    timelock_started: 'queued',
    effect_requested: 'conflict',
    effect_made: 'conflict',
    effect_failed: 'conflict',
    cancelled: 'cancelled',
  },
  rejected: {
    approved: 'conflict',
    refused: 'ignore',
    timelock_started: 'conflict',
    effect_requested: 'conflict',
    effect_made: 'conflict',
    effect_failed: 'conflict',
    cancelled: 'conflict',
  },
  queued: {
    approved: 'ignore',
    refused: 'conflict',
    timelock_started: 'ignore',
    effect_requested: 'executing',
    effect_made: 'executed',
    effect_failed: 'execution_failed',
    cancelled: 'cancelled',
  },
  executing: {
    approved: 'ignore',
    refused: 'conflict',
    timelock_started: 'ignore',
    effect_requested: 'ignore',
    effect_made: 'executed',
    effect_failed: 'execution_failed',
    // The ledger may have paid already: too late.
    cancelled: 'conflict',
  },
  executed: {
    approved: 'ignore',
    refused: 'conflict',
    timelock_started: 'ignore',
    effect_requested: 'ignore',
    effect_made: 'ignore',
    effect_failed: 'conflict',
    cancelled: 'conflict',
  },
  cancelled: {
    approved: 'conflict',
    refused: 'conflict',
    timelock_started: 'conflict',
    effect_requested: 'conflict',
    effect_made: 'conflict',
    effect_failed: 'conflict',
    cancelled: 'ignore',
  },
  execution_failed: {
    approved: 'ignore',
    refused: 'conflict',
    timelock_started: 'ignore',
    effect_requested: 'ignore',
    effect_made: 'conflict',
    effect_failed: 'ignore',
    cancelled: 'conflict',
  },
};

export const next = (state: State, event: Event): Outcome => NEXT[state][event];

/** Nothing leads out of it: all that can still be said of it is what happened, or a conflict. */
export const isTerminal = (state: State): boolean =>
  EVENTS.every((event) => ['ignore', 'conflict'].includes(NEXT[state][event]));

export const toStatus = (state: State): ProposalStatus => (state === 'executing' ? 'queued' : state);
export const statesOf = (status: ProposalStatus): State[] =>
  STATES.filter((state) => toStatus(state) === status);

export interface TallyMinor {
  readonly for_minor: number;
  readonly against_minor: number;
  readonly abstain_minor: number;
}

export interface Rules {
  readonly voting_supply_minor: number;
  readonly quorum_parts: number;
  readonly approval_parts: number;
}

/** part / whole ≥ parts / 10^6, without a division: minor units × 10^6 leave the exact range of a number. */
const reaches = (part: number, whole: number, parts: number): boolean =>
  BigInt(part) * BigInt(PARTS_PER_WHOLE) >= BigInt(whole) * BigInt(parts);

/**
 * Quorum: all votes, abstentions too, reach that share of what can vote. Approval: for reaches that share of for and
 * against, and is more than against. Exactly at a threshold is reached, a tie is never more; nothing cast reaches nothing.
 */
export const decide = (tally: TallyMinor, rules: Rules) => {
  const cast = tally.for_minor + tally.against_minor + tally.abstain_minor;
  const quorumReached = cast > 0 && reaches(cast, rules.voting_supply_minor, rules.quorum_parts);
  const approvalReached =
    tally.for_minor > tally.against_minor &&
    reaches(tally.for_minor, tally.for_minor + tally.against_minor, rules.approval_parts);
  return { quorumReached, approvalReached, hasPassed: quorumReached && approvalReached };
};

/** For people, never for a decision: part / whole as 0–1 with 6 decimals, cut, so that it never shows a threshold as met that is not. */
export const shareOf = (part: number, whole: number): number | null =>
  whole === 0 ? null : Number((BigInt(part) * BigInt(PARTS_PER_WHOLE)) / BigInt(whole)) / PARTS_PER_WHOLE;

/** The most that a proposer may have to hold, however much was voted: somebody can always propose. One unit at least. */
export const proposalPowerMaxMinor = (votingSupplyMinor: number): number =>
  Math.max(1, Math.floor(votingSupplyMinor * PROPOSAL_POWER_SHARE_MAX));

const DAY_MS = 86_400_000;

/** Business time runs `timeScale` times faster; a period never shrinks to nothing. */
const scaled = (ms: number, timeScale: number): number => Math.max(1, Math.round(ms / timeScale));
export const votingPeriodMs = (days: number, timeScale: number): number => scaled(days * DAY_MS, timeScale);
export const timelockMs = (seconds: number, timeScale: number): number => scaled(seconds * 1_000, timeScale);
