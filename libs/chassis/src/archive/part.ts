import { hash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { ARCHIVE_START, type ArchiveEntry, entryHash, entryName, partName } from './entry.ts';

const pack = promisify(gzip);
const unpack = promisify(gunzip);

/** Far beyond what a part holds: what is larger is no part. */
const PART_TEXT_MAX = 1 << 30;

/** Where a line ends at the moment. */
export interface LineEnd {
  readonly line: string;
  /** Of its last entry; 0 when it has none. */
  readonly number: number;
  readonly hash: string;
}

/** What stands before the first part of a line. */
export const beginningOf = (line: string): LineEnd => ({ line, number: 0, hash: ARCHIVE_START });

/** Makes the next part of a line. @param folder what its names begin with, ending in a slash */
export const makePart = async (
  folder: string,
  end: LineEnd,
  rows: readonly unknown[],
): Promise<{ bytes: Buffer; entry: ArchiveEntry }> => {
  const bytes = await pack(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const sha256 = hash('sha256', bytes);
  const number = end.number + 1;
  const entry = {
    line: end.line,
    number,
    part: folder + partName(end.line, number, sha256),
    sha256,
    bytes: bytes.length,
    rows: rows.length,
    made_at: new Date().toISOString(),
    prev_hash: end.hash,
  };
  return { bytes, entry: { ...entry, hash: entryHash(entry) } };
};

/** Where an entry stands in the archive, and as what bytes: the same, whoever writes it. */
export const entryFile = (folder: string, entry: ArchiveEntry): { name: string; bytes: Buffer } => ({
  name: folder + entryName(entry.line, entry.number),
  bytes: Buffer.from(`${JSON.stringify(entry, null, 2)}\n`),
});

/** @throws when it is no gzip of NDJSON */
export const rowsOfPart = async (bytes: Buffer): Promise<unknown[]> => {
  const text = await unpack(bytes, { maxOutputLength: PART_TEXT_MAX });
  return text
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
};
