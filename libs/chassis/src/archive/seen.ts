import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';

/** Which rows came before, for any number of them: in a file beside the memory, which goes at the end. */
export const createSeenRows = () => {
  const folder = mkdtempSync(join(tmpdir(), 'aitbc-archive-'));
  const db = new Database(join(folder, 'seen.db'));
  // Nothing of it is needed afterwards.
  db.pragma('journal_mode = OFF');
  db.pragma('synchronous = OFF');
  db.exec('CREATE TABLE seen (id TEXT, line TEXT, PRIMARY KEY (id, line)) STRICT, WITHOUT ROWID');
  const keep = db.prepare('INSERT INTO seen VALUES (?, ?) ON CONFLICT DO NOTHING');
  return {
    /** @returns false for one that came before in the same line */
    take: (id: string, line: string): boolean => keep.run(id, line).changes === 1,
    /** Different ones, over all lines. */
    count: (): number => db.prepare('SELECT count(DISTINCT id) FROM seen').pluck().get() as number,
    end: (): void => {
      db.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
};
