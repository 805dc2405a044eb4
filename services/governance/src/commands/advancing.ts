import type { Trx } from '@aitbc/chassis';
import { decide, timelockMs } from '../domain.ts';
import { currentValue } from '../store/parameters.ts';
import { apply, countVotes, findProposal } from '../store/proposals.ts';
import type { ProposalRow } from '../tables.ts';
import { announce } from './announcing.ts';
import { carryOut, remind } from './executing.ts';
import type { Ruling } from './ruling.ts';

/** Whatever time has brought a proposal to: counting, the timelock, its execution. Does nothing before it is due. */
export const advance = async (trx: Trx, ruling: Ruling, id: string, nowMs: number): Promise<void> => {
  const proposal = await findProposal(trx, id);
  if (proposal === undefined || proposal.due_at_ms === null || proposal.due_at_ms > nowMs) return;
  switch (proposal.state) {
    case 'active':
      await close(trx, proposal, nowMs);
      break;
    case 'passed':
      await startTimelock(trx, ruling, proposal, nowMs);
      break;
    case 'queued':
      await carryOut(trx, ruling, proposal, null, nowMs);
      break;
    case 'executing':
      await remind(trx, proposal, nowMs);
      break;
    default:
      throw new Error(`a ${proposal.state} proposal is never due`);
  }
};

const close = async (trx: Trx, proposal: ProposalRow, nowMs: number): Promise<void> => {
  const tally = await countVotes(trx, proposal.id);
  const { hasPassed } = decide(tally, proposal);
  await apply(trx, proposal, hasPassed ? 'approved' : 'refused', {
    ...tally,
    decided_at_ms: nowMs,
    due_at_ms: hasPassed ? nowMs : null,
  });
  if (hasPassed) await announce(trx, proposal.id, 'passed', nowMs);
};

// From this moment and not from the deadline: after an outage there must still be time to see what is coming.
const startTimelock = async (
  trx: Trx,
  ruling: Ruling,
  proposal: ProposalRow,
  nowMs: number,
): Promise<void> => {
  // As the rows have it: another process may have executed a longer one a moment ago.
  const seconds = (await currentValue(trx, 'timelock_seconds')) as number;
  const endsAtMs = nowMs + timelockMs(seconds, ruling.timeScale);
  await apply(trx, proposal, 'timelock_started', { timelock_ends_at_ms: endsAtMs, due_at_ms: endsAtMs });
};
