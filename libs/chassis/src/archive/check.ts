import { hash } from 'node:crypto';
import type { Objects } from '../objects/index.ts';
import { ARCHIVE_START, ArchiveEntry, entryHash, entryName, readName } from './entry.ts';
import { rowsOfPart } from './part.ts';

/** What an archive was found to be. */
export interface ArchiveReport {
  /** The last entry of each line: kept elsewhere, its hash shows any later change before it. */
  readonly heads: readonly { line: string; number: number; hash: string }[];
  readonly parts: number;
  readonly rows: number;
  /** Files that no entry names: a process died before it had written their entries, and wrote their rows into others. */
  readonly unnamed: readonly string[];
  /** The first thing that is not as it must be. */
  readonly wrong: string | null;
}

const readEntry = (bytes: Buffer): ArchiveEntry | string => {
  try {
    const parsed = ArchiveEntry.safeParse(JSON.parse(bytes.toString()));
    return parsed.success ? parsed.data : 'is no entry';
  } catch {
    return 'is no JSON';
  }
};

interface Line {
  entries: number;
  readonly files: Set<string>;
}
const linesIn = async (objects: Objects, folder: string): Promise<Map<string, Line>> => {
  const lines = new Map<string, Line>();
  for await (const name of objects.list(folder)) {
    const read = readName(name);
    if (read === null) continue;
    const line = lines.get(read.line) ?? { entries: 0, files: new Set<string>() };
    lines.set(read.line, line);
    if (read.isEntry) line.entries = Math.max(line.entries, read.number);
    else line.files.add(name);
  }
  return lines;
};

/**
 * Reads a whole archive: every line from its first entry to its last, with the files that they name.
 * @param onRow is given each row and its line. @returns what is wrong with it, or null
 * @param known the hash of an entry that must still be there
 */
export const checkArchive = async (
  objects: Objects,
  folder: string,
  onRow: (row: unknown, line: string) => string | null,
  known?: string,
): Promise<ArchiveReport> => {
  const heads: { line: string; number: number; hash: string }[] = [];
  const unnamed: string[] = [];
  let [parts, rows] = [0, 0];
  let isKnownThere = known === undefined;
  const report = (wrong: string | null): ArchiveReport => ({ heads, parts, rows, unnamed, wrong });

  for (const [line, { entries, files }] of await linesIn(objects, folder)) {
    let prev = ARCHIVE_START;
    for (let number = 1; number <= entries; number += 1) {
      const name = folder + entryName(line, number);
      const bytes = await objects.get(name);
      if (bytes === undefined) return report(`${name} is missing`);
      const entry = readEntry(bytes);
      if (typeof entry === 'string') return report(`${name} ${entry}`);
      if (entryHash(entry) !== entry.hash) return report(`${name}: its hash is not that of its fields`);
      if (entry.line !== line || entry.number !== number)
        return report(`${name} is the entry of another place`);
      if (entry.prev_hash !== prev) return report(`${name} names another entry before it`);
      const part = await objects.get(entry.part);
      if (part === undefined) return report(`${entry.part} is missing`);
      if (hash('sha256', part) !== entry.sha256)
        return report(`${entry.part} is not what ${name} says of it`);
      const found = await rowsOfPart(part);
      if (found.length !== entry.rows)
        return report(`${entry.part} has ${found.length} rows, ${name} says ${entry.rows}`);
      for (const [at, row] of found.entries()) {
        const wrong = onRow(row, line);
        if (wrong !== null) return report(`${entry.part}, line ${at + 1}: ${wrong}`);
      }
      files.delete(entry.part);
      parts += 1;
      rows += found.length;
      prev = entry.hash;
      isKnownThere ||= prev === known;
    }
    if (entries > 0) heads.push({ line, number: entries, hash: prev });
    unnamed.push(...files);
  }
  return report(isKnownThere ? null : 'the entry that was known is gone');
};
