import type { Operations } from '../contract.ts';
import type { Input, RequestOptions, Transport } from '../http.ts';
import { listOf } from '../list.ts';

type ParameterName = Operations['governance.parameter_history']['params']['name'];

export const createGovernance = (transport: Transport) => ({
  list: (query: NonNullable<Input<'governance.list'>['query']> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) => transport.call('governance.list', { query: page }, options)),
  get: (proposalId: string, call?: RequestOptions) =>
    transport.call('governance.get', { params: { proposal_id: proposalId } }, call),
  propose: (body: Input<'governance.propose'>['body'], call?: RequestOptions) =>
    transport.call('governance.propose', { body }, call),
  /** A later vote replaces an earlier one, until the deadline. */
  vote: (body: Input<'governance.vote'>['body'], call?: RequestOptions) =>
    transport.call('governance.vote', { body }, call),
  votes: (
    proposalId: string,
    query: NonNullable<Input<'governance.votes'>['query']> = {},
    call: RequestOptions = {},
  ) =>
    listOf(query, call, (page, options) =>
      transport.call('governance.votes', { params: { proposal_id: proposalId }, query: page }, options),
    ),
  cancel: (proposalId: string, call?: RequestOptions) =>
    transport.call('governance.cancel', { params: { proposal_id: proposalId } }, call),
  /** Nobody has to: it happens by itself when the timelock ends. */
  execute: (proposalId: string, call?: RequestOptions) =>
    transport.call('governance.execute', { params: { proposal_id: proposalId } }, call),
  /** Now, or at the snapshot of a proposal. */
  votingPower: (
    accountId: string,
    query: NonNullable<Input<'governance.votingPower'>['query']> = {},
    call?: RequestOptions,
  ) => transport.call('governance.votingPower', { params: { user_id: accountId }, query }, call),
  parameters: async (call?: RequestOptions) =>
    (await transport.call('governance.parameters', {}, call)).items,
  parameterHistory: (
    name: ParameterName,
    query: NonNullable<Input<'governance.parameter_history'>['query']> = {},
    call: RequestOptions = {},
  ) =>
    listOf(query, call, (page, options) =>
      transport.call('governance.parameter_history', { params: { name }, query: page }, options),
    ),
});
export type Governance = ReturnType<typeof createGovernance>;
