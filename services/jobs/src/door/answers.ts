import { fromMinor } from '@aitbc/contracts';
import { assertContent } from '../commands/wipe.ts';
import { receiptOf } from '../store/receipts.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';
import type { Asked, Kind } from './asked.ts';
import { type Fields, readVectors, readWritten } from './written.ts';

/** What a job's answer says of it. */
export interface OfJob {
  readonly job_id: string;
  readonly receipt_id: string;
  readonly miner_id: string | null;
  readonly price: number;
}

const PREFIX = { chat: 'chatcmpl', completion: 'cmpl', embedding: 'embd' } as const;
const OBJECT = { chat: 'chat.completion', completion: 'text_completion' } as const;

/** By which the job is found where headers cannot be seen. */
export const answerId = (kind: Kind, jobId: string): string => `${PREFIX[kind]}-${jobId}`;

export const createdSeconds = (job: Pick<JobRow, 'created_at_ms'>): number =>
  Math.floor(job.created_at_ms / 1_000);

/** What a completed job is worth: its result and its receipt, which was signed with it. */
export const readEnd = async (work: Work, job: JobRow): Promise<{ result: unknown; of: OfJob } | null> => {
  await assertContent(work, job);
  const receipt = await receiptOf(work.store.read, job.seq);
  if (receipt === undefined) return null;
  return {
    result: JSON.parse(receipt.result),
    of: {
      job_id: job.id,
      receipt_id: receipt.id,
      miner_id: job.miner_id,
      price: fromMinor(job.lease_price_minor),
    },
  };
};

/** A whole answer. @returns null when the result is none. */
export const wholeAnswer = (asked: Asked, job: JobRow, result: unknown, of: OfJob): Fields | null => {
  const { kind, model } = asked;
  if (kind === 'embedding') {
    const vectors = readVectors(result, asked.encoding);
    return vectors === null ? null : { object: 'list', model, ...vectors, aitbc: of };
  }
  const written = readWritten(kind, result);
  if (written === null) return null;
  return {
    id: answerId(kind, job.id),
    object: OBJECT[kind],
    created: createdSeconds(job),
    model,
    ...written,
    aitbc: of,
  };
};
