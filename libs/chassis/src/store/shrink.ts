import type Database from 'better-sqlite3';
import { startStopwatch } from '../stopwatch.ts';

// A file of SQLite gives no page back by itself. With auto_vacuum = INCREMENTAL it keeps, for each page, who points at it, so
// that the last ones can be moved into free ones and cut off, a few at a time.

const INCREMENTAL = 2;
/** Free pages that stay, 4 MB: the next rows want them, and what is cut off today has to be written anew tomorrow. */
const FREE_KEPT = 1_000;
/** A file of before is written anew at the start, up to this size: about a second. A larger one when it is restored. */
export const REWRITTEN_MAX_BYTES = 64 * 1024 * 1024;

/** Before anything else stands in a new file: afterwards it would have to be written anew. */
export const beginShrinkable = (db: Database.Database): void => {
  db.pragma(`auto_vacuum = ${INCREMENTAL}`);
};

const sizeOf = (db: Database.Database): number =>
  (db.pragma('page_count', { simple: true }) as number) *
  (db.pragma('page_size', { simple: true }) as number);

const isShrinkable = (db: Database.Database): boolean =>
  db.pragma('auto_vacuum', { simple: true }) === INCREMENTAL;

/**
 * Writes a file of before anew; that also leaves behind what was erased in it. Nobody else may have it open.
 * @param maxBytes a larger one stays as it is
 */
export const makeShrinkable = (db: Database.Database, maxBytes = Number.POSITIVE_INFINITY): void => {
  if (isShrinkable(db) || sizeOf(db) > maxBytes) return;
  beginShrinkable(db);
  db.exec('VACUUM');
};

/** Cuts off at most so many pages. */
export const shrinkFile = (db: Database.Database, pages: number): { found: number; tookMs: number } => {
  const free = db.pragma('freelist_count', { simple: true }) as number;
  const found = Math.min(pages, free - FREE_KEPT);
  if (found <= 0 || !isShrinkable(db)) return { found: 0, tookMs: 0 };
  const took = startStopwatch();
  db.pragma(`incremental_vacuum(${found})`);
  return { found, tookMs: took() };
};
