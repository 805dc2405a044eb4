import {
  type ArchiveReport,
  type BucketKeys,
  checkArchive,
  createSeenRows,
  openObjects,
} from '@aitbc/chassis';
import { fromMinor, toTimestamp } from '@aitbc/contracts';
import { z } from 'zod';
import { ARCHIVE_FOLDER } from '../services/jobs/src/archive.ts';
import { claimsOf, type PublicJwk, verifyProof } from '../services/jobs/src/receipts.ts';

/** What the check of an archive looks at; there is more in a row. */
const Row = z.looseObject({
  job: z.looseObject({
    id: z.string(),
    client_id: z.string(),
    miner_id: z.string().nullable(),
    job_type: z.string(),
    status: z.string(),
    attempt: z.number(),
    parameters_sha256: z.string(),
    lease_price_minor: z.number(),
    ended_at_ms: z.number(),
  }),
  events: z.array(z.looseObject({ id: z.number() })),
  receipt: z.strictObject({ id: z.string(), proof: z.string(), created_at_ms: z.number() }).nullable(),
});
type Row = z.infer<typeof Row>;

export interface ArchiveVerdict extends ArchiveReport {
  /** Different jobs: after a restore one may stand in two lines. */
  readonly jobs: number;
  readonly receipts: number;
}

const receiptProblem = ({ job, receipt }: Row, jwks: readonly PublicJwk[] | undefined): string | null => {
  if (receipt === null)
    return job.status === 'completed' ? `job ${job.id} completed and has no receipt` : null;
  let claims: ReturnType<typeof claimsOf>;
  try {
    claims = claimsOf(receipt.proof);
  } catch {
    return `the receipt of job ${job.id} cannot be read`;
  }
  const said = {
    receipt_id: receipt.id,
    job_id: job.id,
    attempt: job.attempt,
    client_id: job.client_id,
    miner_id: job.miner_id,
    job_type: job.job_type,
    parameters_sha256: job.parameters_sha256,
    price: fromMinor(job.lease_price_minor),
    completed_at: toTimestamp(job.ended_at_ms),
  };
  for (const [name, value] of Object.entries(said))
    if (claims[name as keyof typeof said] !== value)
      return `the receipt of job ${job.id} says another ${name} than its row`;
  const verdict = jwks === undefined ? null : verifyProof(receipt.proof, jwks);
  return verdict?.valid === false ? `the receipt of job ${job.id}: ${verdict.reason}` : null;
};

/**
 * Checks an archive of jobs: the manifest's chain, the hash of each part, each row, and its receipt against it.
 * @param options.jwks the keys that signed receipts; without them signatures are not checked
 * @param options.known the hash of an entry that was read before: it must still be there
 */
export const verifyArchive = async (options: {
  url: string;
  keys: BucketKeys;
  jwks: readonly PublicJwk[] | undefined;
  known: string | undefined;
}): Promise<ArchiveVerdict> => {
  const seen = createSeenRows();
  let receipts = 0;
  try {
    const objects = openObjects(options.url, options.keys);
    const { known } = options;
    const report = await checkArchive(
      objects,
      ARCHIVE_FOLDER,
      (row, line) => {
        const parsed = Row.safeParse(row);
        if (!parsed.success) return 'is no row of a job';
        const { job, receipt } = parsed.data;
        if (!seen.take(job.id, line)) return `job ${job.id} stands in this line already`;
        if (receipt !== null) receipts += 1;
        return receiptProblem(parsed.data, options.jwks);
      },
      known,
    );
    return { ...report, jobs: seen.count(), receipts };
  } finally {
    seen.end();
  }
};

/** What signed receipts, now and before. */
export const keysOf = async (url: string): Promise<PublicJwk[]> => {
  const response = await fetch(`${url}/.well-known/jwks.json`);
  if (!response.ok) throw new Error(`${url} answered ${response.status} when it was asked for its keys`);
  return ((await response.json()) as { keys: PublicJwk[] }).keys;
};

/** Says what was found. @returns the code to end with */
export const sayArchive = async (options: Parameters<typeof verifyArchive>[0]): Promise<number> => {
  const { wrong, parts, rows, jobs, receipts, heads, unnamed } = await verifyArchive(options);
  if (wrong !== null) {
    console.error(`The archive is wrong: ${wrong}.`);
    return 1;
  }
  // A name that was misspelt is no archive that is right.
  if (parts === 0) {
    console.error(`There is no archive of jobs at ${options.url}, or nothing in it yet.`);
    return 2;
  }
  const twice =
    rows === jobs ? '' : `; ${rows - jobs} stand in two lines, as a file that was put back brings it`;
  console.log(`${parts} parts with ${jobs} jobs and ${receipts} receipts are right${twice}.`);
  if (options.jwks === undefined)
    console.log('Signatures are not checked: that takes the coordinator’s keys, with --url.');
  for (const { line, number, hash } of heads)
    console.log(`Line ${line}: ${number} parts, the newest is ${hash}.`);
  if (unnamed.length > 0)
    console.log(
      `${unnamed.length} files are named by no entry and can be deleted: a process died while it wrote them, and their rows stand in others.`,
    );
  return 0;
};
