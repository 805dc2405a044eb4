import { createHash } from 'node:crypto';
import { failpoint, sendAs, type Trx } from '@aitbc/chassis';
import {
  type Caller,
  type ExecutionEffect,
  notFound,
  PARAMETERS,
  type ParameterName,
  type Payload,
  Problem,
  type ProposalTarget,
  toMinor,
  toTimestamp,
} from '@aitbc/contracts';
import { isTerminal } from '../domain.ts';
import { latestSnapshot } from '../store/blocks.ts';
import { recordChange, recordText } from '../store/parameters.ts';
import {
  apply,
  endExecution,
  findExecution,
  findProposal,
  insertExecution,
  postpone,
} from '../store/proposals.ts';
import type { ExecutionRow, ProposalRow } from '../tables.ts';
import { changeRefusal } from './changing.ts';
import type { Ruling } from './ruling.ts';

const send = sendAs<'governance'>();

/** The ledger is asked again after this, in case its answer can no longer come; it answers a second asking the same. */
const REMIND_AFTER_MS = 60_000;

/** The topic of executions that came to their end. */
export const EXECUTIONS = 'executions';

/**
 * Executes a queued proposal whose timelock has ended; of one executed before, gives that execution.
 * @throws Problem TIMELOCK_ACTIVE, PROPOSAL_NOT_EXECUTABLE
 */
export const execute = (
  trx: Trx,
  ruling: Ruling,
  caller: Caller,
  id: string,
  nowMs: number,
): ExecutionRow => {
  const proposal = findProposal(trx, id);
  if (proposal === undefined) throw notFound('proposal');
  const done = findExecution(trx, id);
  if (done !== undefined) return done;
  const { timelock_ends_at_ms } = proposal;
  if (proposal.state === 'passed' || (proposal.state === 'queued' && Number(timelock_ends_at_ms) > nowMs)) {
    const waitMs = Number(timelock_ends_at_ms ?? nowMs) - nowMs;
    throw new Problem('TIMELOCK_ACTIVE', 'This proposal has passed; its timelock has not ended yet.', {
      details: timelock_ends_at_ms === null ? {} : { timelock_ends_at: toTimestamp(timelock_ends_at_ms) },
      retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1_000)),
    });
  }
  if (proposal.state !== 'queued') {
    throw new Problem(
      'PROPOSAL_NOT_EXECUTABLE',
      isTerminal(proposal.state)
        ? `This proposal was ${proposal.state}.`
        : 'Voting on this proposal has not been decided yet.',
    );
  }
  return carryOut(trx, ruling, proposal, caller.account_id, nowMs);
};

/** The effect, its record and its message are one transaction: all of them once, or none. */
export const carryOut = (
  trx: Trx,
  ruling: Ruling,
  proposal: ProposalRow,
  executedBy: string | null,
  nowMs: number,
): ExecutionRow => {
  const result = takeEffect(trx, ruling, proposal, nowMs);
  const isSettling = 'effect' in result && result.effect.kind === 'funds_allocated';
  const hasFailed = 'reason' in result;
  const row: ExecutionRow = {
    proposal_id: proposal.id,
    status: hasFailed ? 'failed' : isSettling ? 'settling' : 'executed',
    effect: hasFailed ? null : JSON.stringify(result.effect),
    reason: hasFailed ? result.reason : null,
    executed_by: executedBy,
    started_at_ms: nowMs,
    ended_at_ms: isSettling ? null : nowMs,
  };
  insertExecution(trx, row);
  apply(trx, proposal, hasFailed ? 'effect_failed' : isSettling ? 'effect_requested' : 'effect_made', {
    due_at_ms: isSettling ? nowMs + REMIND_AFTER_MS : null,
  });
  failpoint('governance:before-commit');
  trx.afterCommit(() => failpoint('governance:after-commit'));
  return row;
};

type Result = { effect: ExecutionEffect } | { reason: string };

const takeEffect = (trx: Trx, ruling: Ruling, proposal: ProposalRow, nowMs: number): Result => {
  const target = JSON.parse(proposal.target) as ProposalTarget;
  if ('parameter' in target) return changeParameter(trx, ruling, proposal, target, nowMs);
  if ('amount' in target) {
    askLedger(trx, proposal);
    return { effect: { kind: 'funds_allocated', ...target, transaction_hash: null } };
  }
  const subject = 'policy' in target ? target.policy : target.release;
  const sha256 = createHash('sha256').update(target.text, 'utf8').digest('hex');
  recordText(trx, {
    proposal_id: proposal.id,
    subject,
    text: target.text,
    sha256,
    recorded_at_ms: nowMs,
  });
  return { effect: { kind: 'text_recorded', subject, sha256 } };
};

const changeParameter = (
  trx: Trx,
  ruling: Ruling,
  proposal: ProposalRow,
  target: { parameter: ParameterName; value: unknown },
  nowMs: number,
): Result => {
  const { parameter } = target;
  // Weeks and releases lie between the draft and now: the registry may know the name, or its bounds, no longer.
  if (!Object.hasOwn(PARAMETERS, parameter))
    return { reason: `There is no parameter ${parameter} any more.` };
  const votingSupplyMinor = latestSnapshot(trx)?.voting_supply_minor ?? 0;
  const refusal = changeRefusal(trx, parameter, target.value, votingSupplyMinor);
  if (refusal !== null) return { reason: `The value is out of the bounds of ${parameter}: ${refusal}.` };
  const value: unknown = PARAMETERS[parameter].schema.parse(target.value);
  const version = recordChange(trx, {
    name: parameter,
    value,
    proposal_id: proposal.id,
    reset_by: null,
    reset_reason: null,
    changed_at_ms: nowMs,
  });
  const change = { name: parameter, value, version, proposal_id: proposal.id };
  send(trx, 'governance.parameter_changed', change);
  // This service is not among the receivers: what it owns itself it obeys from this commit on.
  ruling.parameters.apply(trx, change);
  return { effect: { kind: 'parameter_changed', parameter, value, version } };
};

const askLedger = (trx: Trx, proposal: ProposalRow): void => {
  const target = JSON.parse(proposal.target) as { recipient_account_id: string; amount: number };
  send(trx, 'governance.allocation_approved', {
    proposal_id: proposal.id,
    recipient_account_id: target.recipient_account_id,
    amount_minor: toMinor(target.amount),
  });
};

export const remind = (trx: Trx, proposal: ProposalRow, nowMs: number): void => {
  askLedger(trx, proposal);
  postpone(trx, proposal.id, nowMs + REMIND_AFTER_MS);
};

/** The ledger's answer to an allocation. A second one that says the same changes nothing. */
export const settle = (trx: Trx, answer: Payload<'payments.allocation_settled'>, nowMs: number): void => {
  const proposal = findProposal(trx, answer.proposal_id);
  if (proposal === undefined) throw new Error(`settled an unknown proposal ${answer.proposal_id}`);
  const happened = apply(trx, proposal, answer.ok ? 'effect_made' : 'effect_failed', { due_at_ms: null });
  if (happened === null) {
    throw new Error(`proposal ${proposal.id} is ${proposal.state}; the ledger says ok=${answer.ok}`);
  }
  if (!happened) return;
  const effect = JSON.parse(findExecution(trx, proposal.id)?.effect ?? 'null') as ExecutionEffect;
  endExecution(trx, proposal.id, {
    status: answer.ok ? 'executed' : 'failed',
    effect: answer.ok ? JSON.stringify({ ...effect, transaction_hash: answer.transaction_hash }) : null,
    reason: answer.ok ? null : (answer.reason ?? 'The ledger refused the payment.'),
    ended_at_ms: nowMs,
  });
  trx.notify(EXECUTIONS);
};
