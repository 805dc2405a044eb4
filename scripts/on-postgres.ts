import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { schemaUrl } from '@aitbc/chassis';

/** Whether this deployment keeps its rows on a server: by the environment, or the file that `npm start` reads. */
export const isOnPostgres = (): boolean => {
  const settings = resolve(import.meta.dirname, '../.env');
  if (existsSync(settings)) process.loadEnvFile(settings);
  return Boolean(process.env.POSTGRES_URL);
};

/** These scripts copy files. A server has better means of its own. */
export const WITH_POSTGRES = `POSTGRES_URL is set: rows are in PostgreSQL, which is copied with its own means.
  copy      pg_dump --format=custom --schema=jobs "$POSTGRES_URL" > jobs.dump    (each service has a schema)
            or all of them with pg_basebackup and WAL archiving, to any moment
  restore   stop the coordinator, pg_restore, then npm run restore -- --database env:POSTGRES_URL, and start it again
  check     npm run verify works with both`;

/** `env:NAME` is what the environment says under that name: no list of processes shows a password then. */
export const fromEnvironment = (given: string): string => {
  if (!given.startsWith('env:')) return given;
  const found = process.env[given.slice('env:'.length)];
  if (!found) throw new Error(`the environment has no ${given.slice('env:'.length)}`);
  return found;
};

/**
 * Where a service is by what an operator gave: POSTGRES_URL, or the service's own DATABASE_URL, whose schema ends with
 * its name.
 * @throws what `schemaUrl` does
 */
export const schemaOf = (given: string, service: string): string => {
  const text = fromEnvironment(given);
  const schema = URL.canParse(text) ? new URL(text).searchParams.get('schema') : null;
  return schema === service || schema?.endsWith(`_${service}`) ? text : schemaUrl(text, service);
};
