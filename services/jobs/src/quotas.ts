import type { Trx } from '@aitbc/chassis';
import { Problem } from '@aitbc/contracts';
import { loadOf } from './store/load.ts';
import type { Work } from './work.ts';

const RETRY_SECONDS = 60;
const MEGABYTE = 1_000_000;

export const quotasOf = (work: Pick<Work, 'parameters'>) => ({
  openJobs: work.parameters.get('account_open_jobs_max'),
  contentBytes: work.parameters.get('account_content_megabytes_max') * MEGABYTE,
});

const openKey = (accountId: string): string => `open_jobs:${accountId}`;
const bytesKey = (accountId: string): string => `content_bytes:${accountId}`;

/**
 * Looks at what {@link takeRoom} decides by: what was committed before this transaction. What is taken is remembered for the
 * rest of it; what others of its group give back meanwhile counts from the next one on. On PostgreSQL other processes take of
 * the same quota at the same moment: an account may exceed it by what they commit meanwhile.
 */
export const lookAtRoom = async (trx: Trx, work: Pick<Work, 'store'>, accountId: string): Promise<void> => {
  if (trx.memo.has(openKey(accountId))) return;
  // Not through the transaction: there it would be a conflict with each process that counts for the same account.
  const used = await loadOf(work.store.read, accountId);
  trx.memo.set(openKey(accountId), used.openJobs);
  trx.memo.set(bytesKey(accountId), used.contentBytes);
};

const refuse = (quota: string, limit: number, what: string): Problem =>
  new Problem('QUOTA_EXCEEDED', `${what}; let some end, or wipe what you need no more.`, {
    details: { quota, limit },
    retryAfterSeconds: RETRY_SECONDS,
  });

/**
 * One job more of an account, after {@link lookAtRoom}.
 * @throws Problem QUOTA_EXCEEDED; then nothing is taken
 */
export const takeRoom = (
  trx: Trx,
  work: Pick<Work, 'parameters'>,
  accountId: string,
  bytes: number,
): void => {
  const max = quotasOf(work);
  const openJobs = (trx.memo.get(openKey(accountId)) as number) + 1;
  const contentBytes = (trx.memo.get(bytesKey(accountId)) as number) + bytes;
  if (openJobs > max.openJobs)
    throw refuse(
      'open_jobs',
      max.openJobs,
      'So many jobs of your account wait or run that it can have no more',
    );
  if (contentBytes > max.contentBytes)
    throw refuse('content_bytes', max.contentBytes, 'Your jobs hold as much as your account can keep');
  trx.memo.set(openKey(accountId), openJobs);
  trx.memo.set(bytesKey(accountId), contentBytes);
};
