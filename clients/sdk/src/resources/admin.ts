import type { Operations } from '../contract.ts';
import type { Input, RequestOptions, Transport } from '../http.ts';
import { listOf } from '../list.ts';

/** For operators; takes an admin key. */
export const createAdmin = (transport: Transport) => ({
  stats: (call?: RequestOptions) => transport.call('gateway.admin_stats', {}, call),
  /** @param accountId an account, or `treasury` */
  credit: (accountId: string, body: Input<'payments.credit'>['body'], call?: RequestOptions) =>
    transport.call('payments.credit', { params: { account_id: accountId }, body }, call),
  keys: {
    list: (
      query: NonNullable<Input<'gateway.admin_list_api_keys'>['query']> = {},
      call: RequestOptions = {},
    ) =>
      listOf(query, call, (page, options) =>
        transport.call('gateway.admin_list_api_keys', { query: page }, options),
      ),
    create: (body: Input<'gateway.admin_create_api_key'>['body'], call?: RequestOptions) =>
      transport.call('gateway.admin_create_api_key', { body }, call),
    rotate: (
      keyId: string,
      body: Input<'gateway.admin_rotate_api_key'>['body'] = {},
      call?: RequestOptions,
    ) => transport.call('gateway.admin_rotate_api_key', { params: { key_id: keyId }, body }, call),
    revoke: (keyId: string, call?: RequestOptions) =>
      transport.call('gateway.admin_revoke_api_key', { params: { key_id: keyId } }, call),
  },
  deadLetters: (
    query: NonNullable<Input<'gateway.admin_dead_letters'>['query']> = {},
    call: RequestOptions = {},
  ) =>
    listOf(query, call, (page, options) =>
      transport.call('gateway.admin_dead_letters', { query: page }, options),
    ),
  /** What was done with keys, money, votes, parameters, messages and contents, newest first. */
  audit: (query: NonNullable<Input<'gateway.admin_audit'>['query']> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) => transport.call('gateway.admin_audit', { query: page }, options)),
  actOnDeadLetter: (body: Input<'gateway.admin_act_on_dead_letter'>['body'], call?: RequestOptions) =>
    transport.call('gateway.admin_act_on_dead_letter', { body }, call),
  debts: (query: NonNullable<Input<'payments.exchange_debts'>['query']> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) =>
      transport.call('payments.exchange_debts', { query: page }, options),
    ),
  vetoProposal: (proposalId: string, body: Input<'governance.veto'>['body'], call?: RequestOptions) =>
    transport.call('governance.veto', { params: { proposal_id: proposalId }, body }, call),
  resetParameter: (
    name: Operations['governance.reset_parameter']['params']['name'],
    body: Input<'governance.reset_parameter'>['body'],
    call?: RequestOptions,
  ) => transport.call('governance.reset_parameter', { params: { name }, body }, call),
});
export type Admin = ReturnType<typeof createAdmin>;
