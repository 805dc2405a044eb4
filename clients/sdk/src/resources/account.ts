import type { Input, RequestOptions, Transport } from '../http.ts';
import { listOf } from '../list.ts';

/** The account that the key or session belongs to. */
export const createAccount = (transport: Transport) => {
  const me = (call?: RequestOptions) => transport.call('gateway.me', {}, call);
  return {
    me,
    balance: async (call?: RequestOptions) =>
      transport.call('payments.balance', { params: { user_id: (await me(call)).user_id } }, call),
    /** A message to sign with a wallet. */
    challenge: (body: Input<'gateway.challenge'>['body'], call?: RequestOptions) =>
      transport.call('gateway.challenge', { body }, call),
    /** Gives the session token for `new Aitbc({ sessionToken })`. */
    login: (body: Input<'gateway.login'>['body'], call?: RequestOptions) =>
      transport.call('gateway.login', { body }, call),
    logout: (query: NonNullable<Input<'gateway.logout'>['query']> = {}, call?: RequestOptions) =>
      transport.call('gateway.logout', { query }, call),
    endSession: (sessionId: string, call?: RequestOptions) =>
      transport.call('gateway.end_session', { params: { session_id: sessionId } }, call),
    /** API keys; a session makes and revokes them. */
    keys: {
      list: (query: NonNullable<Input<'gateway.list_api_keys'>['query']> = {}, call: RequestOptions = {}) =>
        listOf(query, call, (page, options) =>
          transport.call('gateway.list_api_keys', { query: page }, options),
        ),
      create: (body: Input<'gateway.create_api_key'>['body'], call?: RequestOptions) =>
        transport.call('gateway.create_api_key', { body }, call),
      rotate: (keyId: string, body: Input<'gateway.rotate_api_key'>['body'] = {}, call?: RequestOptions) =>
        transport.call('gateway.rotate_api_key', { params: { key_id: keyId }, body }, call),
      revoke: (keyId: string, call?: RequestOptions) =>
        transport.call('gateway.revoke_api_key', { params: { key_id: keyId } }, call),
    },
  };
};
export type Account = ReturnType<typeof createAccount>;
