/** An object of JSON, of which nothing else is known: what others answer is looked at before it is used. */
export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
