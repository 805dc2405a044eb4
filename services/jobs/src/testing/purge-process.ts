import { createMetrics, createPurge, openObjects, openStore } from '@aitbc/chassis';
import { migrations } from '../../migrations/index.ts';
import { createArchive } from '../archive.ts';
import { createErasures } from '../erasures.ts';
import { createPurges } from '../purge.ts';

/** Jobs leave a second after their end. */
const KEPT_MS = 1_000;
const PART_JOBS = 25;

/** The purge of a file by itself, until all that is due has left: a process, so that it can die in the middle. */
export const purgeAll = async (
  databaseUrl: string,
  archiveUrl: string,
  keys = process.env,
): Promise<void> => {
  const store = await openStore({ url: databaseUrl, service: 'jobs', migrations });
  try {
    const metrics = createMetrics('jobs');
    const objects = openObjects(archiveUrl, keys);
    const archive = createArchive({ store, objects, keptMs: KEPT_MS, metrics, partJobs: PART_JOBS });
    const work = { store, erasures: createErasures(store) };
    const periods = { contentMs: KEPT_MS, jobsMs: KEPT_MS };
    const [jobs] = createPurges(work, periods, createPurge(store, metrics), archive);
    await jobs?.run(new AbortController().signal);
  } finally {
    await store.close();
  }
};

if (import.meta.main) await purgeAll(process.env.DATABASE_URL as string, process.env.ARCHIVE_URL as string);
