/** What a row of an outbox says, one after the other. */
export const messagesOf = (row: {
  messages: string;
}): { name: string; version: number; payload: unknown }[] =>
  row.messages.split('\n').map((line) => JSON.parse(`{${line}`));

/** A row that says one thing. @param payload as JSON */
export const rowSaying = (name: string, payload: string) => ({
  count: 1,
  messages: `"name":"${name}","version":1,"payload":${payload}}`,
});
