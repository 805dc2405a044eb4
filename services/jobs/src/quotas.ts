import { Problem } from '@aitbc/contracts';
import { loadOf } from './store/load.ts';
import type { Work } from './work.ts';

const RETRY_SECONDS = 60;
const MEGABYTE = 1_000_000;

export const quotasOf = (work: Pick<Work, 'parameters'>) => ({
  openJobs: work.parameters.get('account_open_jobs_max'),
  contentBytes: work.parameters.get('account_content_megabytes_max') * MEGABYTE,
});

/** What an account may still bring. */
export interface Room {
  /** @throws Problem QUOTA_EXCEEDED; then nothing is taken */
  take(bytes: number): void;
}

/**
 * Looks how much room an account has, before the transaction that takes of it: what requests bring that look at the same
 * moment is not seen, so an account may exceed its quota by what it sends at once.
 */
export const findRoom = async (work: Work, accountId: string): Promise<Room> => {
  const max = quotasOf(work);
  const used = await loadOf(work.store.read, accountId);
  const refuse = (quota: string, limit: number, what: string): Problem =>
    new Problem('QUOTA_EXCEEDED', `${what}; let some end, or wipe what you need no more.`, {
      details: { quota, limit },
      retryAfterSeconds: RETRY_SECONDS,
    });
  return {
    take: (bytes) => {
      if (used.openJobs >= max.openJobs)
        throw refuse(
          'open_jobs',
          max.openJobs,
          'So many jobs of your account wait or run that it can have no more',
        );
      if (used.contentBytes + bytes > max.contentBytes)
        throw refuse('content_bytes', max.contentBytes, 'Your jobs hold as much as your account can keep');
      used.openJobs += 1;
      used.contentBytes += bytes;
    },
  };
};
