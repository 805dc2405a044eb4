import { PAGE_BYTES_MAX, type Reader } from '@aitbc/chassis';
import { type JobAndTexts, textsOf } from './store/jobs.ts';
import type { JobRow } from './tables.ts';

/** Jobs whose parameters and results a list reads in one go: few at first, each may have 8 MB of them... */
const TEXTS_FIRST = 4;
/** ...then as many as fill a page, if they are as large as those were. */
const TEXTS_MAX = 64;

/** Parameters and results are read as a page is filled: they may be 4 MB each. */
export async function* withTexts(reader: Reader, rows: readonly JobRow[]): AsyncGenerator<JobAndTexts> {
  let atOnce = TEXTS_FIRST;
  for (let at = 0; at < rows.length; ) {
    const found = await textsOf(reader, rows.slice(at, at + atOnce));
    yield* found;
    at += found.length;
    const bytes = found.reduce(
      (sum, { parameters, result }) => sum + parameters.length + (result?.length ?? 0),
      0,
    );
    atOnce = Math.max(
      1,
      Math.min(TEXTS_MAX, Math.floor((PAGE_BYTES_MAX * found.length) / Math.max(1, bytes))),
    );
  }
}
