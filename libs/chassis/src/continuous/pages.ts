import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import Database from 'better-sqlite3';

// The pages of a file as of one moment, read as they lie: SQLite has no way to ask for them that this build knows. What
// is used of its formats is fixed (sqlite.org/walformat.html, fileformat2.html).

/** Somebody may be opening the file for the first time. */
const BUSY_TIMEOUT_MS = 5_000;
const WAL_HEADER = 32;
const FRAME_HEADER = 24;
/** The index of the log begins with two copies of its header; how far the log was written into the file stands behind them. */
const INDEX_HEADER = 48;
const BACKFILLED_AT = 2 * INDEX_HEADER;
const LAST_FRAME_AT = 16;
const PAGES_AT = 20;
/** Between two looks at the index somebody may commit: then again. */
const TRIES = 1_000;
/** Read in one go. */
const CHUNK_BYTES = 1 << 20;

/** The file as of one moment. It stays so until the function that was given it returns. */
export interface Moment {
  readonly pageSize: number;
  readonly pages: number;
  /** Changes with every commit. */
  readonly version: string;
  /** For what rows say of the same moment. */
  readonly db: Database.Database;
  /** Calls `take` with each page, in their order; what it is given is valid during the call alone. */
  each(take: (number: number, page: Buffer) => void): void;
}

const readAt = (file: number, bytes: Buffer, at: number): number =>
  readSync(file, bytes, 0, bytes.length, at);

/** Where in the log the newest copy of each page stands, of those up to a frame. */
const framesIn = (log: number, last: number, pageSize: number): Map<number, number> => {
  const frames = new Map<number, number>();
  const header = Buffer.alloc(4);
  for (let frame = 0; frame < last; frame += 1) {
    const at = WAL_HEADER + frame * (FRAME_HEADER + pageSize);
    readAt(log, header, at);
    frames.set(header.readUInt32BE(), at + FRAME_HEADER);
  }
  return frames;
};

/** To be closed in this order: closing a file takes away the locks that a connection of this process has on it. */
const openFiles = (path: string) => {
  const names = [path, `${path}-wal`, `${path}-shm`];
  const db = new Database(path, { readonly: true, fileMustExist: true, timeout: BUSY_TIMEOUT_MS });
  // The log and its index come with the first read, and stay as long as somebody is connected.
  db.prepare('SELECT count(*) FROM sqlite_schema').get();
  const files = names.map((name) => (existsSync(name) ? openSync(name, 'r') : null));
  const inodes = (): (number | undefined)[] =>
    names.map((name) => statSync(name, { throwIfNoEntry: false })?.ino);
  const opened = inodes().join();
  return {
    db,
    files,
    isSame: () => inodes().join() === opened,
    close: () => {
      db.close();
      for (const file of files) if (file !== null) closeSync(file);
    },
  };
};
type Files = ReturnType<typeof openFiles>;

const look = <T>({ db, files }: Files, fn: (moment: Moment) => T): T => {
  const [main, log, index] = files as [number, number | null, number | null];
  const pageSize = db.pragma('page_size', { simple: true }) as number;
  const before = Buffer.alloc(BACKFILLED_AT + 4);
  const after = Buffer.alloc(BACKFILLED_AT + 4);
  const readIndex = (into: Buffer): void => {
    if (index !== null) readAt(index, into, 0);
  };
  for (let tries = 0; tries < TRIES; tries += 1) {
    readIndex(before);
    db.exec('BEGIN');
    try {
      db.prepare('SELECT count(*) FROM sqlite_schema').get();
      readIndex(after);
      const header = after.subarray(0, INDEX_HEADER);
      if (!header.equals(before.subarray(0, INDEX_HEADER))) continue;
      if (!header.equals(after.subarray(INDEX_HEADER, BACKFILLED_AT))) continue;
      const word = (at: number): number =>
        new Uint32Array(after.buffer, after.byteOffset + at, 1)[0] as number;
      const last = word(LAST_FRAME_AT);
      // All of the log is in the file: it may be begun anew while this reads, and is not needed.
      const isInFile = word(BACKFILLED_AT) >= last;
      const frames = isInFile || log === null ? new Map<number, number>() : framesIn(log, last, pageSize);
      const pages = last > 0 ? word(PAGES_AT) : (db.pragma('page_count', { simple: true }) as number);
      return fn({
        pageSize,
        pages,
        version: header.toString('hex'),
        db,
        each: (take) => {
          const atOnce = Math.max(1, Math.floor(CHUNK_BYTES / pageSize));
          const chunk = Buffer.alloc(atOnce * pageSize);
          for (let first = 0; first < pages; first += atOnce) {
            readAt(main, chunk, first * pageSize);
            for (let at = 0; at < atOnce && first + at < pages; at += 1) {
              const page = chunk.subarray(at * pageSize, (at + 1) * pageSize);
              const frame = frames.get(first + at + 1);
              if (frame !== undefined && log !== null) readAt(log, page, frame);
              take(first + at + 1, page);
            }
          }
        },
      });
    } finally {
      db.exec('COMMIT');
    }
  }
  throw new Error('the file was never at rest for long enough to read the index of its log');
};

/** Reads the pages of a service's file, again and again, while the service writes. */
export const openPages = (path: string) => {
  let files: Files | undefined;
  const close = (): void => {
    const open = files;
    files = undefined;
    open?.close();
  };
  return {
    /** Calls `fn` with the file as of one moment. `isNew`: another file stands there than the time before. */
    look: <T>(fn: (moment: Moment, isNew: boolean) => T): T => {
      const isNew = files?.isSame() !== true;
      if (isNew) {
        close();
        files = openFiles(path);
      }
      return look(files as Files, (moment) => fn(moment, isNew));
    },
    close,
  };
};
