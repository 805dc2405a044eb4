import { canonicalJson, sha256 } from '@aitbc/contracts';
import { z } from 'zod';

const Hash = z.string().regex(/^[0-9a-f]{64}$/);

/** What the manifest says of a part. Each entry holds the hash of the one before it. */
export const ArchiveEntry = z.strictObject({
  /** The chain that it belongs to: a new one begins where the file was put back from a backup, or the archive is another. */
  line: z.uuid(),
  /** In its line from 1, without a gap. */
  number: z.number().int().min(1),
  /** The file that holds its rows: NDJSON in gzip. */
  part: z.string(),
  /** Of that file as it is. */
  sha256: Hash,
  bytes: z.number().int().min(1),
  rows: z.number().int().min(1),
  made_at: z.iso.datetime(),
  /** Of the entry before; of the first 64 zeros. */
  prev_hash: Hash,
  /** SHA-256 of the canonical JSON of all other fields. */
  hash: Hash,
});
export type ArchiveEntry = z.infer<typeof ArchiveEntry>;

/** What stands before the first entry of a line. */
export const ARCHIVE_START = '0'.repeat(64);

export const entryHash = ({
  hash: _hash,
  ...entry
}: Omit<ArchiveEntry, 'hash'> & { hash?: string }): string => sha256(canonicalJson(entry));

const DIGITS = 12;
const numbered = (line: string, number: number): string => `${line}/${String(number).padStart(DIGITS, '0')}`;

export const entryName = (line: string, number: number): string => `${numbered(line, number)}.json`;
/** By its content too: two processes that make the same number at once do not write over each other's. */
export const partName = (line: string, number: number, sha: string): string =>
  `${numbered(line, number)}-${sha.slice(0, 16)}.ndjson.gz`;

/** @returns what a name in an archive says, or null of one that we did not make */
export const readName = (name: string): { line: string; number: number; isEntry: boolean } | null => {
  const found = /([0-9a-f-]{36})\/(\d{12})(?:(\.json)|-[0-9a-f]{16}\.ndjson\.gz)$/.exec(name);
  return found === null
    ? null
    : { line: found[1] as string, number: Number(found[2]), isEntry: found[3] !== undefined };
};
