import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  existsSync,
  ftruncateSync,
  openSync,
  readdirSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import Database from 'better-sqlite3';
import { keepPrivate } from '../store/file.ts';
import { chainsIn, readChain, type StepEntry } from './chain.ts';

/** The services that a folder has chains of. */
export const servicesIn = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && chainsIn(join(folder, entry.name)).length > 0)
        .map(({ name }) => name)
        .sort()
    : [];

interface Steps {
  readonly folder: string;
  readonly entries: readonly StepEntry[];
}

/** The newest steps at or before a time, with all that they stand on. */
const stepsAt = (folder: string, at: Date | undefined): Steps | undefined => {
  for (const name of chainsIn(folder).reverse()) {
    const path = join(folder, name);
    const entries = readChain(path).filter(
      (entry) => at === undefined || Date.parse(entry.at) <= at.getTime(),
    );
    if (entries.length > 0) return { folder: path, entries };
  }
  return undefined;
};

/** Writes the pages of a step where they belong. @throws when the file is not what the entry says */
const writePages = async (folder: string, entry: StepEntry, target: number): Promise<void> => {
  const hash = createHash('sha256');
  const record = 4 + entry.page_size;
  let rest: Buffer = Buffer.alloc(0);
  const measured = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  await pipeline(
    createReadStream(join(folder, entry.file)),
    measured,
    createGunzip(),
    async (source: AsyncIterable<Buffer>) => {
      for await (const chunk of source) {
        const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
        let at = 0;
        for (; at + record <= bytes.length; at += record)
          writeSync(target, bytes, at + 4, entry.page_size, (bytes.readUInt32BE(at) - 1) * entry.page_size);
        rest = bytes.subarray(at);
      }
    },
  );
  if (hash.digest('hex') !== entry.sha256)
    throw new Error(`${join(folder, entry.file)} is not what its entry says`);
};

/**
 * Puts the file of a service together from what a continuous backup wrote.
 * @param options.folder of the service
 * @param options.at the newest moment at or before this; without it the newest
 * @returns what the manifest says of that moment
 * @throws when there is none, or something is not as its entry says
 */
export const assembleFile = async (options: {
  folder: string;
  target: string;
  at?: Date | undefined;
}): Promise<StepEntry> => {
  const { folder, target, at } = options;
  const steps = stepsAt(folder, at);
  const last = steps?.entries.at(-1);
  if (steps === undefined || last === undefined)
    throw new Error(`${folder} has nothing${at === undefined ? '' : ` of ${at.toISOString()} or before`}`);
  keepPrivate(target);
  const file = openSync(target, 'r+');
  try {
    for (const entry of steps.entries) await writePages(steps.folder, entry, file);
    ftruncateSync(file, last.pages * last.page_size);
  } finally {
    closeSync(file);
  }
  const db = new Database(target);
  // One plain file, which can be moved and read anywhere.
  db.pragma('journal_mode = DELETE');
  db.close();
  return last;
};
