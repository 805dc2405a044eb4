import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalJson, sha256 } from '@aitbc/contracts';
import { z } from 'zod';

const Hash = z.string().regex(/^[0-9a-f]{64}$/);
const Count = z.number().int().nonnegative();

/** What the manifest says of a step: the pages that changed since the step before, as of one moment. */
export const StepEntry = z.strictObject({
  service: z.string(),
  /** From 1, which has all pages, without a gap. */
  number: z.number().int().min(1),
  at: z.iso.datetime(),
  page_size: z.number().int().min(512),
  /** Of the file at that moment. */
  pages: z.number().int().min(1),
  changed: Count,
  /** The file that holds them, and what it is. */
  file: z.string(),
  sha256: Hash,
  bytes: Count,
  /** What the service's messages are sent as. */
  stream: z.string(),
  /** Rows of each table at that moment. */
  tables: z.record(z.string(), Count),
  /** Of the step before; of the first 64 zeros. */
  prev_hash: Hash,
  /** SHA-256 of the canonical JSON of all other fields. */
  hash: Hash,
});
export type StepEntry = z.infer<typeof StepEntry>;

export const CHAIN_START = '0'.repeat(64);
export const stepHash = ({ hash: _hash, ...entry }: Omit<StepEntry, 'hash'> & { hash?: string }): string =>
  sha256(canonicalJson(entry));

const DIGITS = 9;
export const stepName = (number: number): string => String(number).padStart(DIGITS, '0');

/** Folders that were being made or dropped begin so: they are nothing. */
export const GONE = 'gone-';
/** The names of chains rise with the time at which they began. */
export const chainsIn = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && !entry.name.startsWith(GONE))
        .map(({ name }) => name)
        .sort()
    : [];

/** A chain as far as its manifest goes. @throws naming the entry that is not as it must be */
export const readChain = (folder: string): StepEntry[] => {
  const entries: StepEntry[] = [];
  let prev = CHAIN_START;
  for (let number = 1; ; number += 1) {
    const path = join(folder, `${stepName(number)}.json`);
    if (!existsSync(path)) return entries;
    const parsed = StepEntry.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    if (!parsed.success) throw new Error(`${path} is no step of a backup`);
    const entry = parsed.data;
    if (stepHash(entry) !== entry.hash) throw new Error(`${path}: its hash is not that of its fields`);
    if (entry.prev_hash !== prev || entry.number !== number)
      throw new Error(`${path} is not what follows the step before it`);
    entries.push(entry);
    prev = entry.hash;
  }
};
