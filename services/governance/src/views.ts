import {
  type Execution,
  fromMinor,
  fromParts,
  type GovernedParameter,
  PARAMETER_NAMES,
  PARAMETERS,
  type ParameterChanged,
  type ParameterName,
  type Proposal,
  toTimestamp,
  toTimestampOrNull,
  type Vote,
} from '@aitbc/contracts';
import { z } from 'zod';
import { decide, shareOf, toStatus } from './domain.ts';
import { type ParameterChangeRow, valueInForce } from './store/parameters.ts';
import type { ExecutionRow, ProposalRow, VoteRow } from './tables.ts';

// Rows as callers see them.

export const viewExecution = (row: ExecutionRow): Execution => ({
  proposal_id: row.proposal_id,
  status: row.status,
  effect: row.effect === null ? null : JSON.parse(row.effect),
  reason: row.reason,
  executed_by: row.executed_by,
  started_at: toTimestamp(row.started_at_ms),
  ended_at: toTimestampOrNull(row.ended_at_ms),
});

const viewTally = (row: ProposalRow): Proposal['tally'] => {
  const { quorumReached, approvalReached } = decide(row, row);
  const cast = row.for_minor + row.against_minor + row.abstain_minor;
  return {
    for: fromMinor(row.for_minor),
    against: fromMinor(row.against_minor),
    abstain: fromMinor(row.abstain_minor),
    voters: row.voters,
    voting_supply: fromMinor(row.voting_supply_minor),
    participation: shareOf(cast, row.voting_supply_minor) ?? 0,
    approval: shareOf(row.for_minor, row.for_minor + row.against_minor),
    quorum_reached: quorumReached,
    approval_reached: approvalReached,
  };
};

export const viewProposal = (row: ProposalRow, execution: ExecutionRow | undefined): Proposal => ({
  id: row.id,
  proposer_id: row.proposer_account_id,
  title: row.title,
  description: row.description,
  type: row.type,
  target: JSON.parse(row.target),
  status: toStatus(row.state),
  quorum_threshold: fromParts(row.quorum_parts),
  approval_threshold: fromParts(row.approval_parts),
  snapshot_height: row.snapshot_height,
  tally: viewTally(row),
  execution: execution === undefined ? null : viewExecution(execution),
  created_at: toTimestamp(row.created_at_ms),
  voting_ends_at: toTimestamp(row.voting_ends_at_ms),
  decided_at: toTimestampOrNull(row.decided_at_ms),
  timelock_ends_at: toTimestampOrNull(row.timelock_ends_at_ms),
  cancelled_at: toTimestampOrNull(row.cancelled_at_ms),
  vetoed_by: row.veto_reason === null ? null : row.cancelled_by,
  veto_reason: row.veto_reason,
});

export const viewVote = (row: VoteRow): z.input<typeof Vote> => ({
  proposal_id: row.proposal_id,
  voter_id: row.account_id,
  vote: row.choice,
  weight: fromMinor(row.weight_minor),
  reason: row.reason,
  cast_at: toTimestamp(row.cast_at_ms),
});

/** An entry of the registry with the change in force. */
export const viewParameter = (
  name: ParameterName,
  change: ParameterChangeRow | undefined,
): z.input<typeof GovernedParameter> => {
  const parameter = PARAMETERS[name];
  const { $schema: _, ...bounds } = z.toJSONSchema(parameter.schema);
  return {
    name,
    description: parameter.description,
    service: parameter.owner,
    value: valueInForce(name, change),
    default: parameter.default,
    bounds,
    largest_step: parameter.step,
    version: change?.version ?? 0,
    proposal_id: change?.proposal_id ?? null,
    reset_by: change?.reset_by ?? null,
    reset_reason: change?.reset_reason ?? null,
    changed_at: toTimestampOrNull(change?.changed_at_ms ?? null),
  };
};

export const viewParameters = (
  changes: Map<string, ParameterChangeRow>,
): z.input<typeof GovernedParameter>[] =>
  PARAMETER_NAMES.map((name) => viewParameter(name, changes.get(name)));

export const viewChange = (row: ParameterChangeRow): z.input<typeof ParameterChanged> => ({
  version: row.version,
  value: JSON.parse(row.value),
  proposal_id: row.proposal_id,
  reset_by: row.reset_by,
  reset_reason: row.reset_reason,
  changed_at: toTimestamp(row.changed_at_ms),
});
