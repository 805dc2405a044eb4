import type { Trx } from '@aitbc/chassis';
import {
  type Caller,
  fromMinor,
  invalidField,
  newId,
  notFound,
  Problem,
  type ProposalDraft,
  toMinor,
  toParts,
  type VoteChoice,
} from '@aitbc/contracts';
import { votingPeriodMs } from '../domain.ts';
import { latestSnapshot, powerAt } from '../store/blocks.ts';
import { apply, countOpen, findProposal, insertProposal, putVote } from '../store/proposals.ts';
import type { ProposalRow, VoteRow } from '../tables.ts';
import type { Ruling } from './ruling.ts';

/** Open proposals of one account: nobody fills the list alone. */
export const OPEN_PROPOSALS_MAX = 20;

export const propose = (
  trx: Trx,
  ruling: Ruling,
  caller: Caller,
  draft: ProposalDraft,
  nowMs: number,
): ProposalRow => {
  const minimum = ruling.parameters.get('min_proposal_voting_power');
  const snapshot = latestSnapshot(trx);
  const power = snapshot === undefined ? 0 : powerAt(trx, caller.account_id, snapshot.height);
  if (snapshot === undefined || power < toMinor(minimum)) {
    throw new Problem(
      'INSUFFICIENT_VOTING_POWER',
      `Making a proposal takes ${minimum} AITBC of voting power; this account has ${fromMinor(power)}.`,
      { details: { voting_power: fromMinor(power), required: minimum } },
    );
  }
  if (countOpen(trx, caller.account_id) >= OPEN_PROPOSALS_MAX) {
    throw new Problem(
      'PROPOSAL_LIMIT_REACHED',
      `This account has ${OPEN_PROPOSALS_MAX} open proposals; wait until one ends, or cancel one.`,
    );
  }
  if (draft.type === 'fund_allocation' && toMinor(draft.target.amount) > snapshot.treasury_minor) {
    throw invalidField(
      'target.amount',
      `is more than the treasury holds (${fromMinor(snapshot.treasury_minor)} AITBC)`,
    );
  }
  const votingEndsAtMs = nowMs + votingPeriodMs(draft.voting_period_days, ruling.timeScale);
  const row: ProposalRow = {
    id: newId(),
    proposer_account_id: caller.account_id,
    title: draft.title,
    description: draft.description,
    type: draft.type,
    target: JSON.stringify(draft.target),
    state: 'active',
    quorum_parts: toParts(draft.quorum_threshold),
    approval_parts: toParts(draft.approval_threshold),
    snapshot_height: snapshot.height,
    voting_supply_minor: snapshot.voting_supply_minor,
    for_minor: 0,
    against_minor: 0,
    abstain_minor: 0,
    voters: 0,
    created_at_ms: nowMs,
    voting_ends_at_ms: votingEndsAtMs,
    decided_at_ms: null,
    timelock_ends_at_ms: null,
    cancelled_at_ms: null,
    cancelled_by: null,
    due_at_ms: votingEndsAtMs,
  };
  insertProposal(trx, row);
  return row;
};

export const castVote = (
  trx: Trx,
  caller: Caller,
  cast: { proposal_id: string; vote: VoteChoice; reason?: string | undefined },
  nowMs: number,
): VoteRow => {
  const proposal = findProposal(trx, cast.proposal_id);
  if (proposal === undefined) throw notFound('proposal');
  // The deadline counts to the millisecond, not the moment somebody gets round to counting.
  if (proposal.state !== 'active' || nowMs >= proposal.voting_ends_at_ms) {
    throw new Problem('PROPOSAL_CLOSED', 'Voting on this proposal has ended.');
  }
  const weight = powerAt(trx, caller.account_id, proposal.snapshot_height);
  if (weight === 0) {
    throw new Problem(
      'INSUFFICIENT_VOTING_POWER',
      `This account held no AITBC at block ${proposal.snapshot_height}, when the proposal was made.`,
    );
  }
  const vote: VoteRow = {
    proposal_id: proposal.id,
    account_id: caller.account_id,
    id: newId(),
    choice: cast.vote,
    weight_minor: weight,
    reason: cast.reason ?? null,
    cast_at_ms: nowMs,
  };
  putVote(trx, vote);
  return vote;
};

export const cancel = (trx: Trx, caller: Caller, id: string, nowMs: number): ProposalRow => {
  const proposal = findProposal(trx, id);
  const mayCancel = proposal?.proposer_account_id === caller.account_id || caller.scopes.includes('admin');
  if (proposal === undefined || !mayCancel) throw notFound('proposal of this account');
  const happened = apply(trx, proposal, 'cancelled', {
    cancelled_at_ms: nowMs,
    cancelled_by: caller.account_id,
    due_at_ms: null,
  });
  if (happened === null) {
    throw new Problem('PROPOSAL_CLOSED', 'This proposal has come to its end and cannot be cancelled.');
  }
  return findProposal(trx, id) as ProposalRow;
};
