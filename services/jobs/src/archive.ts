import { setImmediate as turn } from 'node:timers/promises';
import {
  type ArchiveEntry,
  beginningOf,
  clock,
  entryFile,
  failpoint,
  type LineEnd,
  type Metrics,
  makePart,
  type Objects,
  type Store,
} from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { Counter, Gauge } from 'prom-client';
import {
  archivedRows,
  archiveState,
  beginLine,
  beginPart,
  endPart,
  jobsOf,
  seqsText,
} from './store/archive.ts';
import { jobsDue, type OldJob } from './store/purge.ts';
import type { ArchiveRow } from './tables.ts';

/** Where they stand in an archive, which other services may share one day. */
export const ARCHIVE_FOLDER = 'jobs/';
/** Jobs of a part: some 2 MB of text, 200 KB of file. */
const PART_JOBS = 1_000;
/** Jobs that are read in one turn: their events with them some milliseconds. */
const READ_AT_ONCE = 50;
/** Jobs wait for company up to this: a part a second would be a file a second. */
const COMPANY_MS = 3_600_000;
/** ...and not longer than this part of the time that they are kept. */
const COMPANY_SHARE = 100;
/** After a refusal it is left alone for so long. */
const REST_MS = 10_000;

/**
 * Jobs whose time is over, on their way out: into a part of the archive first, and out of the file when that is durable. The
 * order is: the part's file; one transaction that says so; its entry in the manifest; the rows, in small steps; one transaction
 * that says that it is done. After a death it goes on from the last of these, and at most a file stays behind that no entry names.
 */
export const createArchive = (options: {
  store: Store;
  objects: Objects;
  keptMs: number;
  metrics: Metrics;
  /** For tests. */
  partJobs?: number;
}) => {
  const { store, objects, keptMs, partJobs = PART_JOBS } = options;
  const registers = [options.metrics.registry];
  const archived = new Counter({
    name: 'archived_jobs_total',
    help: 'Jobs written into the archive',
    registers,
  });
  const bytes = new Counter({
    name: 'archived_bytes_total',
    help: 'Bytes of the parts of the archive',
    registers,
  });
  const failures = new Counter({
    name: 'archive_failures_total',
    help: 'Times that the archive did not take something; the jobs stay until it does',
    registers,
  });
  const waiting = new Gauge({
    name: 'archive_waiting_seconds',
    help: 'For how long the oldest job whose time is over has waited to be archived',
    registers,
  });
  const companyMs = Math.min(COMPANY_MS, keptMs / COMPANY_SHARE);
  let current: ArchiveRow | undefined;
  let restsUntil = Number.NEGATIVE_INFINITY;

  const putting = async (name: string, content: Buffer): Promise<void> => {
    try {
      await objects.put(name, content);
    } catch (error) {
      failures.inc();
      restsUntil = performance.now() + REST_MS;
      throw error;
    }
  };

  /** The end of the line that this file and this archive share. */
  const settleLine = async (): Promise<ArchiveRow> => {
    const found = await archiveState(store.read);
    if (found?.identity === store.identity && found.target === objects.name) return found;
    const { line, hash } = beginningOf(newId());
    await store.transact('archive.line', (trx) =>
      beginLine(trx, { line, hash, identity: store.identity, target: objects.name }),
    );
    return (await archiveState(store.read)) as ArchiveRow;
  };

  const rowsOf = async (jobs: readonly OldJob[]): Promise<unknown[]> => {
    const rows: unknown[] = [];
    for (let at = 0; at < jobs.length; at += READ_AT_ONCE) {
      const seqs = jobs.slice(at, at + READ_AT_ONCE).map(({ seq }) => seq);
      rows.push(...(await archivedRows(store.read, seqs)));
      await turn();
    }
    return rows;
  };

  const writePart = async (end: LineEnd, jobs: readonly OldJob[]): Promise<void> => {
    const part = await makePart(ARCHIVE_FOLDER, end, await rowsOf(jobs));
    await putting(part.entry.part, part.bytes);
    failpoint('archive:after-part');
    const { line, number, hash } = part.entry;
    const job_seqs = seqsText(jobs.map(({ seq }) => seq));
    const isOurs = await store.transact('archive.begin', (trx) =>
      beginPart(trx, { line, number, hash, entry: JSON.stringify(part.entry), job_seqs }),
    );
    if (!isOurs) return;
    archived.inc(jobs.length);
    bytes.inc(part.bytes.length);
    failpoint('archive:after-begin');
  };

  return {
    /** Of the part that is under way, those that are still here. */
    leaving: async (limit: number): Promise<OldJob[]> =>
      current?.job_seqs == null ? [] : jobsOf(store.read, current.job_seqs, limit),
    /** @param drop takes out those that are {@link leaving}, in small steps */
    run: async (
      signal: AbortSignal,
      drop: () => Promise<unknown>,
    ): Promise<{ done: number; isCut: boolean }> => {
      const over = { done: 0, isCut: false };
      if (performance.now() < restsUntil) return over;
      while (!signal.aborted) {
        current = await settleLine();
        if (current.entry !== null && current.job_seqs !== null) {
          const file = entryFile(ARCHIVE_FOLDER, JSON.parse(current.entry) as ArchiveEntry);
          await putting(file.name, file.bytes);
          failpoint('archive:after-entry');
          await drop();
          if ((await jobsOf(store.read, current.job_seqs, 1)).length > 0) return { done: 1, isCut: true };
          failpoint('archive:after-drop');
          const { line, number } = current;
          await store.transact('archive.end', (trx) => endPart(trx, { line, number }));
          continue;
        }
        const due = await jobsDue(store.read, clock.nowMs() - keptMs, partJobs);
        const [oldest] = due;
        const waitedMs = oldest === undefined ? 0 : clock.nowMs() - Number(oldest.ended_at_ms) - keptMs;
        waiting.set(waitedMs / 1_000);
        if (oldest === undefined) return over;
        if (due.length < partJobs && waitedMs < companyMs) return over;
        await writePart(current, due);
      }
      return over;
    },
  };
};
export type Archive = ReturnType<typeof createArchive>;
