import { isDeepStrictEqual } from 'node:util';
import { auditAs, type Reader, sendAs, type Trx } from '@aitbc/chassis';
import {
  type Caller,
  notFound,
  PARAMETERS,
  type ParameterName,
  Problem,
  type ProposalTarget,
} from '@aitbc/contracts';
import { currentValue, recordChange } from '../store/parameters.ts';
import { apply, findProposal } from '../store/proposals.ts';
import type { ProposalRow } from '../tables.ts';
import type { Ruling } from './ruling.ts';

// Operators as guardians: what they may undo, as long as token holders let them.

const send = sendAs<'governance'>();
const audit = auditAs('governance');

// From the file and not from memory: the vote that ends this power may stand in the same group commit.
const demandGuardian = async (reader: Reader): Promise<void> => {
  if (await currentValue(reader, 'guardian_enabled')) return;
  throw new Problem('GUARDIAN_DISABLED', 'A vote took this power from the operators.');
};

/**
 * A proposal about the guardian is out of its reach, in both directions: otherwise it could stop every vote that ends it.
 * @throws Problem GUARDIAN_DISABLED, PROPOSAL_NOT_VETOABLE
 */
export const demandReach = async (reader: Reader, proposal: ProposalRow): Promise<void> => {
  await demandGuardian(reader);
  const target = JSON.parse(proposal.target) as ProposalTarget;
  if ('parameter' in target && target.parameter === 'guardian_enabled') {
    throw new Problem(
      'PROPOSAL_NOT_VETOABLE',
      'This proposal is about the operators’ own power; only its proposer may stop it.',
    );
  }
};

/**
 * Stops a proposal that waits for its execution. Execution and veto both move it on from `queued` by compare-and-set:
 * whichever transaction is first, the other finds it gone.
 * @throws Problem GUARDIAN_DISABLED, PROPOSAL_NOT_VETOABLE
 */
export const veto = async (
  trx: Trx,
  caller: Caller,
  id: string,
  reason: string,
  nowMs: number,
): Promise<ProposalRow> => {
  const proposal = await findProposal(trx, id);
  if (proposal === undefined) throw notFound('proposal');
  if (proposal.veto_reason !== null) return proposal;
  await demandReach(trx, proposal);
  // The end counts to the millisecond, not the moment somebody gets round to executing.
  if (proposal.state !== 'queued' || nowMs >= Number(proposal.timelock_ends_at_ms)) {
    throw new Problem(
      'PROPOSAL_NOT_VETOABLE',
      proposal.state === 'active' || proposal.state === 'passed'
        ? 'A veto is possible once the votes are counted and the timelock runs.'
        : 'The timelock of this proposal has ended, or it never had one.',
    );
  }
  await apply(trx, proposal, 'cancelled', {
    cancelled_at_ms: nowMs,
    cancelled_by: caller.account_id,
    veto_reason: reason,
    due_at_ms: null,
  });
  const details = { reason };
  await audit(trx, caller, {
    action: 'proposal.vetoed',
    object: id,
    account_id: proposal.proposer_account_id,
    details,
  });
  return (await findProposal(trx, id)) as ProposalRow;
};

/**
 * Sets a parameter to its default, whatever the largest step; does nothing to one that has it.
 * @throws Problem GUARDIAN_DISABLED
 */
export const reset = async (
  trx: Trx,
  ruling: Ruling,
  caller: Caller,
  name: ParameterName,
  reason: string,
  nowMs: number,
): Promise<void> => {
  await demandGuardian(trx);
  const value: unknown = PARAMETERS[name].default;
  if (isDeepStrictEqual(await currentValue(trx, name), value)) return;
  const source = { proposal_id: null, reset_by: caller.account_id, reset_reason: reason };
  const version = await recordChange(trx, { name, value, ...source, changed_at_ms: nowMs });
  const change = { name, value, version, proposal_id: null };
  await send(trx, 'governance.parameter_changed', change);
  await ruling.parameters.apply(trx, change);
  await audit(trx, caller, { action: 'parameter.reset', object: name, details: { reason, version } });
};
