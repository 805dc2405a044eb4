import { CALLER_HEADER, deriveKey, signCaller } from '@aitbc/chassis';
import { type Caller, newId } from '@aitbc/contracts';

/** As in libs/testing, which a process outside the test runner cannot load. */
const TEST_SECRET = 'a-secret-for-tests-only-0123456789abcdef';
const callerKey = deriveKey(TEST_SECRET, 'caller');

/** What a request of this caller carries, for those who build requests themselves. */
export const headersOf = (caller: Caller | null) => (method: string, pathAndQuery: string) => ({
  [CALLER_HEADER]: signCaller(
    callerKey,
    { caller, request_id: newId(), at_ms: Date.now() },
    method,
    pathAndQuery,
  ),
});
