import type { ClientConfig } from 'pg';

/** A server that does not answer within this is taken for lost: its network may swallow without a word. */
const CONNECT_TIMEOUT_MS = 5_000;
/** A statement waits for locks and works no longer; the driver gives up after it, so that the server can say so. */
export const STATEMENT_TIMEOUT_MS = 5_000;
const ANSWER_TIMEOUT_MS = 10_000;
const SCHEMA_LENGTH_MAX = 63;

/** Where a service's tables are. */
export interface Address {
  readonly config: ClientConfig;
  readonly schema: string;
  /** For people and logs: without the password. */
  readonly name: string;
}

/** Beyond the safe integers a number would be another one: better no answer. */
const toNumber = (text: string): number => {
  const number = Number(text);
  if (Number.isFinite(number) && Math.abs(number) > Number.MAX_SAFE_INTEGER)
    throw new RangeError(`${text} of the database is beyond the safe integers`);
  return number;
};

/** Values as SQLite gives them: numbers, texts, bytes; 1 and 0 for true and false. */
const PARSERS: Readonly<Record<number, (text: string) => unknown>> = {
  16: (text) => (text === 't' ? 1 : 0),
  17: (text) => Buffer.from(text.slice(2), 'hex'),
  20: toNumber,
  21: Number,
  23: Number,
  26: Number,
  700: Number,
  701: Number,
  1700: toNumber,
};
const parserOf = (type: number): ((text: string) => unknown) => PARSERS[type] ?? ((text) => text);

/**
 * `postgres://user:password@host:5432/database?schema=jobs`.
 * @param service names the schema unless the URL does
 * @throws when it is no such URL
 */
export const parseAddress = (text: string, service: string): Address => {
  const url = new URL(text);
  const schema = url.searchParams.get('schema') ?? service;
  if (!/^[a-z_][a-z0-9_]*$/.test(schema) || schema.length > SCHEMA_LENGTH_MAX)
    throw new Error(`the schema must be of a to z, 0 to 9 and _, at most ${SCHEMA_LENGTH_MAX} long`);
  url.searchParams.delete('schema');
  return {
    schema,
    name: `postgres://${url.host}${url.pathname} (schema ${schema})`,
    config: {
      connectionString: url.href,
      application_name: `aitbc-${service}`,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
      keepAlive: true,
      types: { getTypeParser: parserOf as never },
    },
  };
};

/**
 * Where a service keeps its rows on a server for all of them: in the schema that is named as it. `?schema=staging`
 * makes it `staging_jobs`, and so on: deployments that share a database differ in it.
 * @param text `postgres://user:password@host:5432/database`
 * @throws when it is no such URL; what it says holds no password
 */
export const schemaUrl = (text: string, service: string): string => {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol) || url.host === '' || url.pathname.length < 2)
    throw new Error('must look like postgres://user:password@host:5432/database');
  const prefix = url.searchParams.get('schema');
  url.searchParams.set('schema', prefix === null ? service : `${prefix}_${service}`);
  parseAddress(url.href, service);
  return url.href;
};
