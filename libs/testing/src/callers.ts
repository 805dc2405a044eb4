import { CALLER_HEADER, deriveKey, signCaller } from '@aitbc/chassis';
import { type Caller, type Client, createClient, newId, type Scope } from '@aitbc/contracts';
import { TEST_SECRET } from './scratch.ts';

/** Somebody with an account of their own. */
export const someone = (scopes: Scope[], changes: Partial<Caller> = {}): Caller => ({
  account_id: newId(),
  credential_id: newId(),
  scopes,
  wallet_address: null,
  spend_cap_minor: null,
  ...changes,
});

/** Calls a service directly, signed as the gateway would. Null is a caller without credential. */
export const callerOf = (url: string, caller: Caller | null, secret = TEST_SECRET): Client => {
  const key = deriveKey(secret, 'caller');
  return createClient(url, (method, pathAndQuery) => ({
    [CALLER_HEADER]: signCaller(
      key,
      { caller, request_id: newId(), at_ms: Date.now() },
      method,
      pathAndQuery,
    ),
  }));
};
