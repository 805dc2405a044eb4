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
import { announce } from './announcing.ts';
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
export const execute = async (
  trx: Trx,
  ruling: Ruling,
  caller: Caller,
  id: string,
  nowMs: number,
): Promise<ExecutionRow> => {
  const proposal = await findProposal(trx, id);
  if (proposal === undefined) throw notFound('proposal');
  const done = await findExecution(trx, id);
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
  return await carryOut(trx, ruling, proposal, caller.account_id, nowMs);
};

/** The effect, its record and its message are one transaction: all of them once, or none. */
export const carryOut = async (
  trx: Trx,
  ruling: Ruling,
  proposal: ProposalRow,
  executedBy: string | null,
  nowMs: number,
): Promise<ExecutionRow> => {
  const result = await takeEffect(trx, ruling, proposal, nowMs);
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
  await insertExecution(trx, row);
  await apply(trx, proposal, hasFailed ? 'effect_failed' : isSettling ? 'effect_requested' : 'effect_made', {
    due_at_ms: isSettling ? nowMs + REMIND_AFTER_MS : null,
  });
  if (row.status === 'executed') await announce(trx, proposal.id, 'executed', nowMs);
  failpoint('governance:before-commit');
  trx.afterCommit(() => failpoint('governance:after-commit'));
  return row;
};

type Result = { effect: ExecutionEffect } | { reason: string };

const takeEffect = async (
  trx: Trx,
  ruling: Ruling,
  proposal: ProposalRow,
  nowMs: number,
): Promise<Result> => {
  const target = JSON.parse(proposal.target) as ProposalTarget;
  if ('parameter' in target) return await changeParameter(trx, ruling, proposal, target, nowMs);
  if ('amount' in target) {
    await askLedger(trx, proposal);
    return { effect: { kind: 'funds_allocated', ...target, transaction_hash: null } };
  }
  const subject = 'policy' in target ? target.policy : target.release;
  const sha256 = createHash('sha256').update(target.text, 'utf8').digest('hex');
  await recordText(trx, {
    proposal_id: proposal.id,
    subject,
    text: target.text,
    sha256,
    recorded_at_ms: nowMs,
  });
  return { effect: { kind: 'text_recorded', subject, sha256 } };
};

const changeParameter = async (
  trx: Trx,
  ruling: Ruling,
  proposal: ProposalRow,
  target: { parameter: ParameterName; value: unknown },
  nowMs: number,
): Promise<Result> => {
  const { parameter } = target;
  // Weeks and releases lie between the draft and now: the registry may know the name, or its bounds, no longer.
  if (!Object.hasOwn(PARAMETERS, parameter))
    return { reason: `There is no parameter ${parameter} any more.` };
  const votingSupplyMinor = (await latestSnapshot(trx))?.voting_supply_minor ?? 0;
  const refusal = await changeRefusal(trx, parameter, target.value, votingSupplyMinor);
  if (refusal !== null) return { reason: `The value is out of the bounds of ${parameter}: ${refusal}.` };
  const value: unknown = PARAMETERS[parameter].schema.parse(target.value);
  const version = await recordChange(trx, {
    name: parameter,
    value,
    proposal_id: proposal.id,
    reset_by: null,
    reset_reason: null,
    changed_at_ms: nowMs,
  });
  const change = { name: parameter, value, version, proposal_id: proposal.id };
  await send(trx, 'governance.parameter_changed', change);
  // This service is not among the receivers: what it owns itself it obeys from this commit on.
  await ruling.parameters.apply(trx, change);
  return { effect: { kind: 'parameter_changed', parameter, value, version } };
};

const askLedger = async (trx: Trx, proposal: ProposalRow): Promise<void> => {
  const target = JSON.parse(proposal.target) as { recipient_account_id: string; amount: number };
  await send(trx, 'governance.allocation_approved', {
    proposal_id: proposal.id,
    recipient_account_id: target.recipient_account_id,
    amount_minor: toMinor(target.amount),
  });
};

export const remind = async (trx: Trx, proposal: ProposalRow, nowMs: number): Promise<void> => {
  await askLedger(trx, proposal);
  await postpone(trx, proposal.id, nowMs + REMIND_AFTER_MS);
};

/** The ledger's answer to an allocation. A second one that says the same changes nothing. */
export const settle = async (
  trx: Trx,
  answer: Payload<'payments.allocation_settled'>,
  nowMs: number,
): Promise<void> => {
  const proposal = await findProposal(trx, answer.proposal_id);
  if (proposal === undefined) throw new Error(`settled an unknown proposal ${answer.proposal_id}`);
  const happened = await apply(trx, proposal, answer.ok ? 'effect_made' : 'effect_failed', {
    due_at_ms: null,
  });
  if (happened === null) {
    throw new Error(`proposal ${proposal.id} is ${proposal.state}; the ledger says ok=${answer.ok}`);
  }
  if (!happened) return;
  const effect = JSON.parse((await findExecution(trx, proposal.id))?.effect ?? 'null') as ExecutionEffect;
  await endExecution(trx, proposal.id, {
    status: answer.ok ? 'executed' : 'failed',
    effect: answer.ok ? JSON.stringify({ ...effect, transaction_hash: answer.transaction_hash }) : null,
    reason: answer.ok ? null : (answer.reason ?? 'The ledger refused the payment.'),
    ended_at_ms: nowMs,
  });
  if (answer.ok) await announce(trx, proposal.id, 'executed', nowMs);
  trx.notify(EXECUTIONS);
};
