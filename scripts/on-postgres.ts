import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

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
  restore   stop the coordinator, pg_restore, and give what it sends a new name before it starts: deploy/README.md
  check     npm run verify works with both`;
