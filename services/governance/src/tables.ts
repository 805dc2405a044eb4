import type { ProposalType, VoteChoice } from '@aitbc/contracts';
import type { State } from './domain.ts';

export interface Tables {
  block: {
    height: number;
    parts: number;
    parts_received: number;
    sealed_at_ms: number;
    supply_minor: number;
    treasury_minor: number;
    is_linked: number;
    voting_supply_minor: number | null;
  };
  block_part: { height: number; part: number };
  checkpoint: { account_id: string; height: number; balance_minor: number };
  proposal: ProposalRow;
  vote: VoteRow;
  execution: ExecutionRow;
  parameter_change: {
    name: string;
    version: number;
    value: string;
    /** Null for a reset, which has the other two. */
    proposal_id: string | null;
    reset_by: string | null;
    reset_reason: string | null;
    changed_at_ms: number;
  };
  recorded_text: {
    proposal_id: string;
    subject: string;
    text: string;
    sha256: string;
    recorded_at_ms: number;
  };
}

export interface ProposalRow {
  id: string;
  proposer_account_id: string;
  title: string;
  description: string;
  type: ProposalType;
  target: string;
  state: State;
  quorum_parts: number;
  approval_parts: number;
  snapshot_height: number;
  voting_supply_minor: number;
  for_minor: number;
  against_minor: number;
  abstain_minor: number;
  voters: number;
  created_at_ms: number;
  voting_ends_at_ms: number;
  decided_at_ms: number | null;
  timelock_ends_at_ms: number | null;
  cancelled_at_ms: number | null;
  cancelled_by: string | null;
  /** Cancelled by a veto: why. Who is in cancelled_by. */
  veto_reason: string | null;
  due_at_ms: number | null;
}

export interface VoteRow {
  proposal_id: string;
  account_id: string;
  id: string;
  choice: VoteChoice;
  weight_minor: number;
  reason: string | null;
  cast_at_ms: number;
}

export interface ExecutionRow {
  proposal_id: string;
  status: 'settling' | 'executed' | 'failed';
  effect: string | null;
  reason: string | null;
  executed_by: string | null;
  started_at_ms: number;
  ended_at_ms: number | null;
}
