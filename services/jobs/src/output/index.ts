import { Problem, type ProblemCode } from '@aitbc/contracts';
import { isTerminal, judgeReport } from '../domain.ts';
import type { Lease } from '../lease.ts';
import type { JobRow } from '../tables.ts';
import type { Watch, Watched } from '../watch.ts';
import { createKept, type Kept } from './kept.ts';

/** Kept of one job, for those who come late or come back: some 250,000 tokens. */
const KEPT_PER_JOB_MAX = 1024 * 1024;
/** Kept in this process. Beyond it a job that writes keeps less: who comes late to it hears of a gap. */
const KEPT_MAX = 64 * 1024 * 1024;
/** Handed over by one `read`: a few packets. */
const READ_MAX = 64 * 1024;
/** A watcher whose connection broke is back within this; until then its miner goes on telling. */
const ABSENCE_MS = 10_000;

/** One step of what a job puts out. */
export type Output =
  /** Chunks as JSON texts, each an object. `seq` is the number of the first, from 0 for each attempt. */
  | {
      readonly kind: 'chunks';
      readonly attempt: number;
      readonly seq: number;
      readonly chunks: readonly string[];
    }
  /** What came of this attempt is void: it was lost. What comes next is of a later one, from its beginning. */
  | { readonly kind: 'restarted'; readonly attempt: number }
  /** Chunks before `seq` are not to be had any more; the result will hold what they said. */
  | { readonly kind: 'gap'; readonly attempt: number; readonly seq: number };

export interface OutputReader {
  /**
   * What comes next for this reader, in order; undefined when it has all that there is. It is asked when there is room
   * to pass it on: what a slow reader has not taken is kept once for all, and not for each.
   */
  readonly read: () => Output | undefined;
  readonly end: () => void;
}

/** Where a reader stands: chunks of this attempt before this number are known to it. */
export interface OutputPlace {
  readonly attempt: number;
  readonly seq: number;
}

type Known = Pick<JobRow, 'status' | 'attempt' | 'events'>;

interface Reader extends OutputPlace {
  attempt: number;
  seq: number;
  readonly wake: () => void;
}

interface Entry {
  readonly jobId: string;
  /** Whose chunks are kept: the running attempt, or the one that comes next. 0: not looked yet. */
  attempt: number;
  readonly kept: Kept;
  readonly readers: Set<Reader>;
  /** When the last reader left. */
  leftAtMs: number;
  known: Known | undefined;
  looking: Promise<void> | undefined;
  watched: Watched | undefined;
}

const refuse = (code: ProblemCode): Problem =>
  new Problem(
    code,
    code === 'STALE_LEASE'
      ? 'This lease is over; the job is no longer yours. Stop and drop it.'
      : 'The job has ended; nothing more is wanted of it.',
  );

/**
 * What running jobs put out before their result, in memory and nowhere else, passed on to whoever listens. Hints: nothing of it
 * is believed, kept or paid; the result is.
 * @param options.find reads a job as it stands
 */
export const createOutput = (options: {
  watch: Watch;
  find: (jobId: string) => Promise<Known | undefined>;
  /** By `performance.now()`; for tests. */
  now?: () => number;
  keptPerJobMax?: number;
  keptMax?: number;
}) => {
  const { watch, find, now = () => performance.now() } = options;
  const { keptPerJobMax = KEPT_PER_JOB_MAX, keptMax = KEPT_MAX } = options;
  const entries = new Map<string, Entry>();
  let keptSize = 0;

  const isListened = (entry: Entry): boolean => entry.readers.size > 0 || now() - entry.leftAtMs < ABSENCE_MS;

  const drop = (entry: Entry): void => {
    if (entries.get(entry.jobId) !== entry) return;
    entries.delete(entry.jobId);
    keptSize -= entry.kept.size();
    entry.kept.clear();
    entry.watched?.end();
  };
  const dropIfDone = (entry: Entry): void => {
    const isOver = entry.known === undefined || isTerminal(entry.known.status);
    if (isOver && entry.readers.size === 0 && entry.looking === undefined) drop(entry);
  };

  /** From here on all is of this attempt. */
  const beginAttempt = (entry: Entry, attempt: number): void => {
    if (attempt <= entry.attempt) return;
    keptSize -= entry.kept.size();
    entry.kept.clear();
    entry.attempt = attempt;
    for (const reader of [...entry.readers]) reader.wake();
  };

  const takeNote = (entry: Entry, job: Known): void => {
    entry.known = job;
    entry.watched?.knows(job.events);
    // Attempts are numbered without a gap: what an ended one said is void the moment it ends.
    if (!isTerminal(job.status))
      beginAttempt(entry, job.status === 'running' ? job.attempt : job.attempt + 1);
    else dropIfDone(entry);
  };

  const look = (entry: Entry): Promise<void> => {
    const looked = (entry.looking ?? Promise.resolve())
      .then(() => find(entry.jobId))
      .then((job) => {
        if (entry.looking === looked) entry.looking = undefined;
        if (job !== undefined) takeNote(entry, job);
      })
      .catch(() => {
        if (entry.looking === looked) entry.looking = undefined;
        // The next one who needs it asks again.
        entry.known = undefined;
      });
    entry.looking = looked;
    return looked;
  };

  const entryOf = (jobId: string): Entry => {
    const found = entries.get(jobId);
    if (found !== undefined) return found;
    const entry: Entry = {
      jobId,
      attempt: 0,
      kept: createKept(),
      readers: new Set(),
      leftAtMs: Number.NEGATIVE_INFINITY,
      known: undefined,
      looking: undefined,
      watched: undefined,
    };
    entries.set(jobId, entry);
    // Before the look: what changes after it wakes.
    entry.watched = watch.open(jobId, () => void look(entry));
    void look(entry);
    return entry;
  };

  const keep = (entry: Entry, seq: number, chunks: readonly string[]): void => {
    const before = entry.kept.size();
    entry.kept.add(seq, chunks);
    const others = keptSize - before;
    // Its share is what the others leave of the whole, and never less than what one read passes on.
    entry.kept.keepWithin(Math.max(Math.min(keptPerJobMax, keptMax - others), READ_MAX));
    keptSize = others + entry.kept.size();
  };

  return {
    /** Whether anybody waits for what this job puts out; asked when it is handed to a miner. */
    isListened: (jobId: string): boolean => {
      const entry = entries.get(jobId);
      return entry !== undefined && isListened(entry);
    },

    /**
     * Takes chunks from the holder of a lease.
     * @param seq the number of the first of them
     * @returns whether anybody listens; if not, nothing was kept. `seq` is the number of the chunk that is wanted next.
     * @throws Problem STALE_LEASE, JOB_ALREADY_ENDED
     */
    push: async (
      lease: Lease,
      seq: number,
      chunks: readonly string[],
    ): Promise<{ listening: boolean; seq: number }> => {
      const entry = entryOf(lease.job_id);
      await entry.looking;
      // What is known may be older than this lease.
      if (
        entry.known === undefined ||
        lease.attempt > entry.known.attempt ||
        entry.known.status === 'pending'
      )
        await look(entry);
      if (entry.known === undefined)
        throw new Problem('SERVICE_UNAVAILABLE', 'The job cannot be looked at now; try again.', {
          retryAfterSeconds: 1,
        });
      const job = { ...entry.known, report_attempt: null, report_sha256: null };
      const verdict = judgeReport(job, lease.attempt, null);
      if (verdict !== 'accept') {
        dropIfDone(entry);
        throw refuse(verdict as ProblemCode);
      }
      const listening = isListened(entry);
      if (listening && chunks.length > 0 && lease.attempt === entry.attempt) {
        keep(entry, seq, chunks);
        for (const reader of [...entry.readers]) reader.wake();
      }
      return { listening, seq: entry.kept.next() };
    },

    /**
     * @param wake called when there may be something to read; never before this returns, and not told that the job ended.
     * @param after where an earlier reader stood
     */
    listen: (jobId: string, wake: () => void, after: OutputPlace = { attempt: 0, seq: 0 }): OutputReader => {
      const entry = entryOf(jobId);
      const reader: Reader = { ...after, wake };
      entry.readers.add(reader);
      return {
        read: () => {
          const { kept, attempt } = entry;
          if (attempt > reader.attempt) {
            const lost = { kind: 'restarted', attempt: reader.attempt } as const;
            const hadSome = reader.seq > 0;
            reader.attempt = attempt;
            reader.seq = 0;
            if (hadSome) return lost;
          }
          // One who knows more than is here, after a restart, waits until that came again.
          if (attempt !== reader.attempt || reader.seq >= kept.next()) return undefined;
          if (reader.seq < kept.first()) {
            reader.seq = kept.first();
            return { kind: 'gap', attempt, seq: reader.seq };
          }
          const chunks = kept.from(reader.seq, READ_MAX);
          const seq = reader.seq;
          reader.seq += chunks.length;
          return { kind: 'chunks', attempt, seq, chunks };
        },
        end: () => {
          if (!entry.readers.delete(reader)) return;
          entry.leftAtMs = now();
          dropIfDone(entry);
        },
      };
    },

    size: () => ({
      jobs: entries.size,
      kept: keptSize,
      readers: [...entries.values()].reduce((sum, { readers }) => sum + readers.size, 0),
    }),
  };
};
export type OutputRoom = ReturnType<typeof createOutput>;
