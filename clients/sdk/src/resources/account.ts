import type { Input, RequestOptions, Transport } from '../http.ts';
import { listOf } from '../list.ts';

type StatementQuery = Omit<NonNullable<Input<'payments.statement'>['query']>, 'format'>;

/** The pages of a statement as one file: only the first begins with the names of the columns. */
async function* statementCsv(
  transport: Transport,
  query: StatementQuery,
  call: RequestOptions,
): AsyncGenerator<string, void, undefined> {
  let cursor = query.cursor;
  for (let isFirst = true; ; isFirst = false) {
    const asked = { query: { ...query, cursor, format: 'csv' } };
    const { text, headers } = await transport.text('payments.statement', asked, call);
    yield isFirst ? text : text.slice(text.indexOf('\n') + 1);
    const next = /<([^>]*)>; *rel="next"/.exec(headers.get('link') ?? '')?.[1];
    cursor =
      next === undefined ? undefined : (new URL(next, 'http://x').searchParams.get('cursor') ?? undefined);
    if (cursor === undefined) return;
  }
}

/** The account that the key or session belongs to. */
export const createAccount = (transport: Transport) => {
  const me = (call?: RequestOptions) => transport.call('gateway.me', {}, call);
  return {
    me,
    balance: async (call?: RequestOptions) =>
      transport.call('payments.balance', { params: { user_id: (await me(call)).user_id } }, call),
    /** What went in and out, with the balance after it. */
    statement: (query: StatementQuery = {}, call: RequestOptions = {}) =>
      listOf(query, call, (page, options) => transport.call('payments.statement', { query: page }, options)),
    /** The same as a file for a spreadsheet, a piece for each page. */
    statementCsv: (query: StatementQuery = {}, call: RequestOptions = {}) =>
      statementCsv(transport, query, call),
    /**
     * All that is the account's, as lines of JSON (`{type, data}`), in pieces as they come. A text whose last line is not of
     * the type `end` broke off.
     */
    export: async (call: RequestOptions = {}): Promise<ReadableStream<Uint8Array>> => {
      const { body } = await transport.open('gateway.export', {}, call, 'application/x-ndjson');
      return body as ReadableStream<Uint8Array>;
    },
    /** Jobs and what they cost, by day, type, model and key; `page()` has the `total` of the whole range. */
    usage: (query: NonNullable<Input<'jobs.usage'>['query']> = {}, call: RequestOptions = {}) =>
      listOf(query, call, (page, options) => transport.call('jobs.usage', { query: page }, options)),
    /** Gives tokens to another account, for good; a key needs the scope `trade`. */
    transfer: (body: Input<'payments.transfer'>['body'], call?: RequestOptions) =>
      transport.call('payments.transfer', { body }, call),
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
