import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startPostgres } from './postgres.ts';

declare module 'vitest' {
  export interface ProvidedContext {
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
 * One server for all tests of the run that are on PostgreSQL. It is the last to come and the first to go, and leaves its
 * tables in the folder of the run, for the search through all that the run left.
 */
export default async (project: TestProject) => {
  if (!(await needsPostgres(project))) return;
  const server = await startPostgres({ isShared: true });
  project.provide('postgresUrl', await server.database());
  return () => server.stop({ keepsTablesIn: join(tmpdir(), 'postgres') });
};
