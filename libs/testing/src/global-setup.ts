import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { TestProject } from 'vitest/node';
import { findBroker } from './broker.ts';
import { startPostgres } from './postgres.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    redisUrl: string;
    /** A database in which each store under test takes a schema of its own; where the run has tests on PostgreSQL. */
    postgresUrl: string;
  }
}

/** Whether a test of this run has its store on PostgreSQL: the server takes two seconds to make. */
const needsPostgres = async ({ vitest }: TestProject): Promise<boolean> => {
  // What stands on the command line. Its type is vitest's own affair; were it gone, the server would start for nothing.
  const { filenamePattern } = vitest as { filenamePattern?: string[] };
  const files = vitest.projects
    .filter(({ config }) => config.env.TEST_ENGINE === 'postgres')
    .map((project) => project.globTestFiles(filenamePattern));
  return (await Promise.all(files)).some(({ testFiles }) => testFiles.length > 0);
};

/**
 * One folder for all that the run leaves, and in it one broker for the whole run; every worker takes a database number
 * of its own in that. The same with one PostgreSQL. The folder is where temporary files go, so tests need not know of it, and has no reason to be
 * tidied before its end: until then it is evidence.
 */
export default async (project: TestProject) => {
  const folder = mkdtempSync(join(tmpdir(), 'aitbc-run-'));
  process.env.TMPDIR = folder;
  const broker = await findBroker({ dataDir: folder, log: () => {} });
  // The append-only file then tells of every write since the start, however often the databases are emptied.
  if (broker.kind !== 'redis_url' && broker.kind !== 'js-redis-server') {
    const redis = new Redis(broker.url);
    await redis.config('SET', 'auto-aof-rewrite-percentage', '0');
    redis.disconnect();
  }
  project.provide('redisUrl', broker.url);
  const postgres = (await needsPostgres(project)) ? await startPostgres({ isShared: true }) : undefined;
  if (postgres !== undefined) project.provide('postgresUrl', await postgres.database());
  return async () => {
    await postgres?.stop();
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  };
};
