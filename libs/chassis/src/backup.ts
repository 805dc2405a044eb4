import { copyFileSync, existsSync, renameSync, rmSync } from 'node:fs';
import Database from 'better-sqlite3';
import { keepPrivate } from './store/file.ts';
import { makeShrinkable } from './store/shrink.ts';

/** What a copy was found to hold, so that an operator can compare it with its neighbours. */
export interface CopyReport {
  readonly stream: string;
  readonly bytes: number;
  /** Messages not yet acknowledged when the copy was made. */
  readonly outbox: number;
  /** Rows of each table. */
  readonly tables: Readonly<Record<string, number>>;
}

/** How many rows each table has. */
export const countRows = (db: Database.Database): Record<string, number> => {
  const names = db
    .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`)
    .pluck()
    .all() as string[];
  return Object.fromEntries(
    names.map((name) => [name, db.prepare(`SELECT count(*) FROM "${name}"`).pluck().get() as number]),
  );
};

/** A copy of an older release has a row for each message. */
const countIn = (db: Database.Database): string =>
  (db.pragma('table_info(outbox)') as { name: string }[]).some(({ name }) => name === 'count')
    ? 'count'
    : '1';
const messagesIn = (db: Database.Database): number =>
  db
    .prepare(`SELECT coalesce(sum(${countIn(db)}), 0) FROM outbox`)
    .pluck()
    .get() as number;

/** Looks through a copy. @throws when it is damaged */
export const inspectFile = (path: string): CopyReport => {
  const db = new Database(path, { readonly: true, fileMustExist: true });
  try {
    const check = db.pragma('integrity_check', { simple: true });
    if (check !== 'ok') throw new Error(`${path} is damaged: ${check}`);
    const violations = db.pragma('foreign_key_check') as unknown[];
    if (violations.length > 0) throw new Error(`${path}: ${violations.length} rows point nowhere`);
    const { stream } = db.prepare('SELECT stream FROM store_identity').get() as { stream: string };
    const n = messagesIn(db);
    const bytes =
      (db.pragma('page_count', { simple: true }) as number) *
      (db.pragma('page_size', { simple: true }) as number);
    return { stream, bytes, outbox: n, tables: countRows(db) };
  } finally {
    db.close();
  }
};

/**
 * Copies a service's file while the service writes to it, consistent as of one moment, and verifies the copy.
 * @param onProgress called with the share done, 0–1
 * @throws when the copy fails its integrity check; nothing is left at `target` then
 */
export const backUpFile = async (
  source: string,
  target: string,
  onProgress: (share: number) => void = () => {},
): Promise<CopyReport> => {
  const partial = `${target}.partial`;
  keepPrivate(partial);
  const db = new Database(source, { readonly: true, fileMustExist: true });
  try {
    // One moment from end to end: otherwise each commit of the service lets the copy begin anew.
    db.exec('BEGIN');
    db.prepare('SELECT count(*) FROM sqlite_schema').get();
    await db.backup(partial, {
      progress: ({ totalPages, remainingPages }) => {
        onProgress(totalPages === 0 ? 0 : 1 - remainingPages / totalPages);
        return 1_000;
      },
    });
  } finally {
    db.close();
  }
  try {
    const copy = new Database(partial);
    // One plain file, which can be moved and read anywhere.
    copy.pragma('journal_mode = DELETE');
    copy.close();
    const report = inspectFile(partial);
    renameSync(partial, target);
    onProgress(1);
    return report;
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
};

/**
 * Gives the outgoing stream a new identity, and numbers what waits from one: receivers keep a watermark per stream, and
 * would drop as duplicates whatever a rewound file says under the old numbers.
 */
export const renameStream = (db: Database.Database): { stream: string; outbox: number } =>
  db.transaction(() => {
    db.prepare(
      `UPDATE store_identity SET stream = substr(stream, 1, instr(stream, '-')) || lower(hex(randomblob(6)))`,
    ).run();
    const rows = db
      .prepare(
        `SELECT destination, seq, sum(${countIn(db)}) OVER (PARTITION BY destination ORDER BY seq) AS now FROM outbox ORDER BY seq`,
      )
      .all();
    // Ascending: each new number is at or below the old one, and free by then.
    const move = db.prepare('UPDATE outbox SET seq = @now WHERE destination = @destination AND seq = @seq');
    for (const row of rows) move.run(row);
    const { stream } = db.prepare('SELECT stream FROM store_identity').get() as { stream: string };
    return { stream, outbox: messagesIn(db) };
  })();

/**
 * Puts a copy in the place of a service's file, with a new name for what it sends ({@link renameStream}). The service
 * must not run.
 */
export const restoreFile = (copy: string, target: string): CopyReport => {
  inspectFile(copy);
  const partial = `${target}.partial`;
  keepPrivate(partial);
  copyFileSync(copy, partial);
  keepPrivate(partial);
  const db = new Database(partial);
  try {
    db.pragma('synchronous = FULL');
    renameStream(db);
    makeShrinkable(db);
  } finally {
    db.close();
  }
  for (const suffix of ['-wal', '-shm']) if (existsSync(target + suffix)) rmSync(target + suffix);
  renameSync(partial, target);
  return inspectFile(target);
};
