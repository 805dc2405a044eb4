import { sendAs, type Trx } from '@aitbc/chassis';

const send = sendAs<'governance'>();

/** For every webhook that wants to know: proposals are everybody's. */
export const announce = (
  trx: Trx,
  proposalId: string,
  status: 'passed' | 'executed',
  nowMs: number,
): Promise<void> =>
  send(trx, 'governance.announced', {
    account_ids: null,
    object_id: proposalId,
    at_ms: nowMs,
    fact: { type: `proposal.${status}`, data: { proposal_id: proposalId, status } },
  });
