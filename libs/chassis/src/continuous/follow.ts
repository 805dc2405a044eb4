import { hash } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { newId } from '@aitbc/contracts';
import type Database from 'better-sqlite3';
import { countRows } from '../backup.ts';
import { failpoint } from '../failpoint.ts';
import { CHAIN_START, chainsIn, GONE, readChain, type StepEntry } from './chain.ts';
import { type Moment, openPages } from './pages.ts';
import { createSpool, flushPath, writeStep } from './step.ts';

/** Of each page so much of its SHA-256 is kept in memory: 4 MB for 1 GB. */
const KEPT = 16;

export interface FollowOptions {
  /** The file of a service. */
  readonly path: string;
  /** Where its chains go. */
  readonly folder: string;
  /** A chain that is older begins anew: what was erased meanwhile is in no step of the next. */
  readonly chainMs: number;
  /** A chain that ended so long ago is dropped. */
  readonly keptMs: number;
}

/** What one look came to. */
export interface Look {
  /** Null when nothing was committed since the last. */
  readonly entry: StepEntry | null;
  /** So long the log of the service could not be emptied. */
  readonly heldMs: number;
}

const streamOf = (db: Database.Database): string =>
  db.prepare('SELECT stream FROM store_identity').pluck().get() as string;

/** How a chain stands. */
interface Chain {
  readonly folder: string;
  readonly startedAtMs: number;
  readonly baseBytes: number;
  /** Of all steps after the base. */
  bytes: number;
  last: StepEntry;
}

/**
 * Backs a service's file up while the service runs: a base with all pages, then steps with those that changed. Each step is the
 * file as of one moment. All pages are read for each, and told apart by their hashes; where nothing was committed, none is.
 */
export const createFollower = ({ path, folder, chainMs, keptMs }: FollowOptions) => {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const service = basename(path, '.db');
  const pages = openPages(path);
  let hashes = Buffer.alloc(0);
  let version: string | undefined;
  let chain: Chain | undefined;

  const isOld = (nowMs: number): boolean =>
    chain === undefined || nowMs - chain.startedAtMs >= chainMs || chain.bytes > chain.baseBytes;

  const spoolChanges = (moment: Moment, spool: string) => {
    const had = hashes.length / KEPT;
    const now = Buffer.alloc(moment.pages * KEPT);
    const changes = createSpool(spool, moment.pageSize);
    moment.each((number, page) => {
      const at = (number - 1) * KEPT;
      hash('sha256', page, 'buffer').copy(now, at, 0, KEPT);
      if (number > had || now.compare(hashes, at, at + KEPT, at, at + KEPT) !== 0) changes.add(number, page);
    });
    changes.end();
    return { now, changed: changes.count() };
  };

  /** @param into the folder of the chain, whose last step is `last` */
  const step = (into: string, last: StepEntry | undefined, moment: Moment, at: string) => {
    const spool = join(into, 'spool.partial');
    const { now, changed } = spoolChanges(moment, spool);
    const facts = {
      service,
      number: (last?.number ?? 0) + 1,
      at,
      page_size: moment.pageSize,
      pages: moment.pages,
      changed,
      stream: streamOf(moment.db),
      tables: countRows(moment.db),
      prev_hash: last?.hash ?? CHAIN_START,
    };
    return { facts, spool, now, version: moment.version };
  };

  /** Chains whose successor has been whole for as long as chains are kept; and what was never whole, or half dropped. */
  const drop = (nowMs: number): void => {
    for (const name of readdirSync(folder))
      if (name.startsWith(GONE)) rmSync(join(folder, name), { recursive: true });
    const current = basename(chain?.folder ?? '');
    for (const name of chainsIn(folder)) {
      if (name === current) continue;
      const last = readChain(join(folder, name)).at(-1);
      if (last !== undefined && nowMs - Date.parse(last.at) < keptMs) continue;
      renameSync(join(folder, name), join(folder, GONE + name));
      failpoint('backup:drop');
      rmSync(join(folder, GONE + name), { recursive: true });
    }
  };

  return {
    service,
    look: async (): Promise<Look> => {
      const nowMs = Date.now();
      let heldMs = 0;
      const begun = pages.look((moment, isNew) => {
        // The moment that was looked at, and not one later.
        const at = new Date().toISOString();
        const isBase = isOld(nowMs) || isNew || moment.pageSize !== chain?.last.page_size;
        if (!isBase && moment.version === version) return undefined;
        if (isBase) hashes = Buffer.alloc(0);
        const into = isBase ? join(folder, newId()) : (chain as Chain).folder;
        if (isBase) mkdirSync(into, { mode: 0o700 });
        const since = performance.now();
        const made = step(into, isBase ? undefined : chain?.last, moment, at);
        heldMs = performance.now() - since;
        return { made, into, isBase };
      });
      if (begun === undefined) return { entry: null, heldMs };
      const { facts, spool, now, version: seen } = begun.made;
      failpoint('backup:after-spool');
      const entry = await writeStep(begun.into, spool, facts);
      hashes = now;
      version = seen;
      if (begun.isBase) {
        flushPath(folder);
        chain = { folder: begun.into, startedAtMs: nowMs, baseBytes: entry.bytes, bytes: 0, last: entry };
        drop(nowMs);
      } else if (chain !== undefined) {
        chain.bytes += entry.bytes;
        chain.last = entry;
      }
      return { entry, heldMs };
    },
    close: () => pages.close(),
  };
};
export type Follower = ReturnType<typeof createFollower>;
