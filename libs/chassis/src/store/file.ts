import { chmodSync, closeSync, existsSync, openSync } from 'node:fs';

/** `sqlite:///relative/file.db`, `sqlite:////absolute/file.db` or a bare path, to a path. */
export const databasePath = (url: string): string => url.replace(/^sqlite:\/\/\//, '');

/** Beside the file, and as secret: SQLite makes them with the file's own mode. */
const COMPANIONS = ['', '-wal', '-shm', '-journal'];

/**
 * Makes a database file the owner's alone, whatever the umask, and also one that was made before this was so. To be
 * called before SQLite opens it: what SQLite makes beside it takes its mode.
 */
export const keepPrivate = (path: string): void => {
  // Opened for appending: made when it is missing, and never emptied.
  closeSync(openSync(path, 'a', 0o600));
  for (const companion of COMPANIONS) if (existsSync(path + companion)) chmodSync(path + companion, 0o600);
};
