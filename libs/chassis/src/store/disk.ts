import Database from 'better-sqlite3';

/** @returns what is wrong with the disk, or null when the error is another's. */
export const diskProblem = (error: unknown): string | null => {
  const code = error instanceof Database.SqliteError ? error.code : '';
  if (code === 'SQLITE_FULL') return 'the disk is full';
  if (code.startsWith('SQLITE_IOERR')) return 'the disk answers with errors';
  if (code.startsWith('SQLITE_READONLY')) return 'the file is read-only';
  if (code.startsWith('SQLITE_CANTOPEN')) return 'the file cannot be opened';
  return null;
};
/** Whether a statement failed by the disk: then it is no fault of what it was to write. */
export const isDiskFault = (error: unknown): boolean => diskProblem(error) !== null;
