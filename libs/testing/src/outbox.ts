/** What a row of an outbox says, one after the other. */
export const messagesOf = (row: {
  messages: string;
}): { name: string; version: number; payload: unknown }[] =>
  row.messages.split('\n').map((line) => JSON.parse(`{${line}`));

/**
 * A row that says one thing.
 * @param payload as JSON
 * @param store whose outbox it is: where processes share one, a row names its stream
 */
export const rowSaying = (
  name: string,
  payload: string,
  store?: { readonly isShared: boolean; readonly stream: string },
) => ({
  count: 1,
  messages: `"name":"${name}","version":1,"payload":${payload}}`,
  ...(store?.isShared === true ? { stream: store.stream } : {}),
});
