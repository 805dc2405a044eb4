import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  createWriteStream,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { failpoint } from '../failpoint.ts';
import { type StepEntry, stepHash, stepName } from './chain.ts';

/** Pages that are written in one go. */
const BUFFERED = 64;

/** A folder's names reach the disk with it. */
export const flushPath = (path: string): void => {
  const file = openSync(path, 'r');
  fsyncSync(file);
  closeSync(file);
};

/** Takes pages as fast as the file's moment is read; what costs time comes when that is over. */
export const createSpool = (path: string, pageSize: number) => {
  const file = openSync(path, 'w', 0o600);
  const record = 4 + pageSize;
  const buffer = Buffer.alloc(BUFFERED * record);
  let [filled, count] = [0, 0];
  const flush = (): void => {
    if (filled > 0) writeSync(file, buffer, 0, filled);
    filled = 0;
  };
  return {
    add: (number: number, page: Buffer): void => {
      buffer.writeUInt32BE(number, filled);
      page.copy(buffer, filled + 4);
      filled += record;
      count += 1;
      if (filled === buffer.length) flush();
    },
    count: () => count,
    end: (): void => {
      flush();
      closeSync(file);
    },
  };
};

/** Writes so that the name stands for a whole file on the disk, or for nothing. */
const putWhole = (path: string, text: string): void => {
  writeFileSync(`${path}.partial`, text, { mode: 0o600 });
  flushPath(`${path}.partial`);
  renameSync(`${path}.partial`, path);
  flushPath(dirname(path));
};

/**
 * Makes a step of what was spooled: its file first, then its entry, with which it counts.
 * @param folder of the chain
 */
export const writeStep = async (
  folder: string,
  spool: string,
  facts: Omit<StepEntry, 'file' | 'sha256' | 'bytes' | 'hash'>,
): Promise<StepEntry> => {
  const partial = join(folder, 'step.partial');
  const hash = createHash('sha256');
  let bytes = 0;
  const measure = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk);
      bytes += chunk.length;
      done(null, chunk);
    },
  });
  // The fastest: pages are packed to a third by it, and to little less by the slowest.
  await pipeline(
    createReadStream(spool),
    createGzip({ level: 1 }),
    measure,
    createWriteStream(partial, { mode: 0o600 }),
  );
  flushPath(partial);
  failpoint('backup:after-pack');
  const sha256 = hash.digest('hex');
  const file = `${stepName(facts.number)}-${sha256.slice(0, 16)}.pages.gz`;
  renameSync(partial, join(folder, file));
  failpoint('backup:after-file');
  const entry = { ...facts, file, sha256, bytes };
  const whole = { ...entry, hash: stepHash(entry) };
  putWhole(join(folder, `${stepName(facts.number)}.json`), `${JSON.stringify(whole, null, 2)}\n`);
  failpoint('backup:after-entry');
  rmSync(spool);
  return whole;
};
