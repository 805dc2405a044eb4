import type { Reader, Trx } from '@aitbc/chassis';
import {
  amountText,
  type Caller,
  fromMinor,
  fromParts,
  invalidField,
  newId,
  notFound,
  Problem,
  type ProposalDraft,
  toMinor,
  toParts,
  type VoteChoice,
} from '@aitbc/contracts';
import { proposalPowerMaxMinor, votingPeriodMs } from '../domain.ts';
import { latestSnapshot, powerAt } from '../store/blocks.ts';
import { currentValue } from '../store/parameters.ts';
import { apply, countOpen, findProposal, insertProposal, putVote } from '../store/proposals.ts';
import type { ProposalRow, VoteRow } from '../tables.ts';
import { changeRefusal } from './changing.ts';
import { demandReach } from './guardian.ts';
import type { Ruling } from './ruling.ts';

/** Open proposals of one account: nobody fills the list alone. */
export const OPEN_PROPOSALS_MAX = 20;

type ThresholdName = 'quorum_threshold' | 'approval_threshold';

/**
 * The rules a proposal is judged by, fixed when it is made: what is voted later neither loosens nor tightens a vote that
 * people already take part in. A proposal may ask for stricter rules, never for looser ones; and one that raises a rule
 * is held to what it asks for, so no rule comes into force that a vote has not just met.
 * @throws Problem VALIDATION_ERROR
 */
const rulesFor = async (
  reader: Reader,
  draft: ProposalDraft,
): Promise<{ quorum_parts: number; approval_parts: number }> => {
  const target = draft.type === 'parameter_change' ? draft.target : undefined;
  const partsOf = async (
    field: ThresholdName,
    name: 'quorum_floor' | 'approval_threshold',
  ): Promise<number> => {
    // From the rows and not from memory: another process may have executed a stricter rule a moment ago.
    const inForce = toParts((await currentValue(reader, name)) as number);
    const raisedTo = target?.parameter === name ? toParts(target.value as number) : 0;
    const least = Math.max(inForce, raisedTo);
    const asked = draft[field];
    if (asked !== undefined && toParts(asked) < least)
      throw invalidField(field, `must be at least ${fromParts(least)}: a proposal may only ask for more`);
    return asked === undefined ? least : toParts(asked);
  };
  return {
    quorum_parts: await partsOf('quorum_threshold', 'quorum_floor'),
    approval_parts: await partsOf('approval_threshold', 'approval_threshold'),
  };
};

export const propose = async (
  trx: Trx,
  ruling: Ruling,
  caller: Caller,
  draft: ProposalDraft,
  nowMs: number,
): Promise<ProposalRow> => {
  const snapshot = await latestSnapshot(trx);
  const power = snapshot === undefined ? 0 : await powerAt(trx, caller.account_id, snapshot.height);
  const requiredMinor = Math.min(
    toMinor((await currentValue(trx, 'min_proposal_voting_power')) as number),
    proposalPowerMaxMinor(snapshot?.voting_supply_minor ?? 0),
  );
  if (snapshot === undefined || power < requiredMinor) {
    const required = fromMinor(requiredMinor);
    throw new Problem(
      'INSUFFICIENT_VOTING_POWER',
      `Making a proposal takes ${amountText(requiredMinor)} AITBC of voting power; this account has ${amountText(power)}.`,
      { details: { voting_power: fromMinor(power), required } },
    );
  }
  const rules = await rulesFor(trx, draft);
  if (draft.type === 'parameter_change') {
    const { parameter, value } = draft.target;
    const refusal = await changeRefusal(trx, parameter, value, snapshot.voting_supply_minor);
    if (refusal !== null) throw invalidField('target.value', refusal);
  }
  if ((await countOpen(trx, caller.account_id)) >= OPEN_PROPOSALS_MAX) {
    throw new Problem(
      'PROPOSAL_LIMIT_REACHED',
      `This account has ${OPEN_PROPOSALS_MAX} open proposals; wait until one ends, or cancel one.`,
    );
  }
  if (draft.type === 'fund_allocation' && toMinor(draft.target.amount) > snapshot.treasury_minor) {
    throw invalidField(
      'target.amount',
      `is more than the treasury holds (${amountText(snapshot.treasury_minor)} AITBC)`,
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
    ...rules,
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
    veto_reason: null,
    due_at_ms: votingEndsAtMs,
  };
  await insertProposal(trx, row);
  return row;
};

export const castVote = async (
  trx: Trx,
  caller: Caller,
  cast: { proposal_id: string; vote: VoteChoice; reason?: string | undefined },
  nowMs: number,
): Promise<VoteRow> => {
  const proposal = await findProposal(trx, cast.proposal_id);
  if (proposal === undefined) throw notFound('proposal');
  // The deadline counts to the millisecond, not the moment somebody gets round to counting.
  if (proposal.state !== 'active' || nowMs >= proposal.voting_ends_at_ms) {
    throw new Problem('PROPOSAL_CLOSED', 'Voting on this proposal has ended.');
  }
  const weight = await powerAt(trx, caller.account_id, proposal.snapshot_height);
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
  await putVote(trx, vote);
  return vote;
};

export const cancel = async (trx: Trx, caller: Caller, id: string, nowMs: number): Promise<ProposalRow> => {
  const proposal = await findProposal(trx, id);
  const isOwn = proposal?.proposer_account_id === caller.account_id;
  if (proposal === undefined || (!isOwn && !caller.scopes.includes('admin')))
    throw notFound('proposal of this account');
  if (!isOwn) await demandReach(trx, proposal);
  const happened = await apply(trx, proposal, 'cancelled', {
    cancelled_at_ms: nowMs,
    cancelled_by: caller.account_id,
    due_at_ms: null,
  });
  if (happened === null) {
    throw new Problem('PROPOSAL_CLOSED', 'This proposal has come to its end and cannot be cancelled.');
  }
  return (await findProposal(trx, id)) as ProposalRow;
};
