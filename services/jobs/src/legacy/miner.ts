import type { Context, Handlers, Trx } from '@aitbc/chassis';
import { type AnyRoute, isRecord, type legacyJobsRoutes, notFound, Problem } from '@aitbc/contracts';
import { acceptReport, preparedUnder, type Said, type Verdict } from '../commands/report.ts';
import type { HandOut } from '../hand-out.ts';
import { claimsOf } from '../receipts.ts';
import { findJob } from '../store/jobs.ts';
import { minersThatLost } from '../store/lost-attempts.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';
import { legacyReceipt } from './receipt.ts';
import { nameGiven, speakerOf } from './speaker.ts';
import { constraintsFor, payloadFor } from './submission.ts';
import { bothWays } from './views.ts';

type MinerRoutes = Pick<
  typeof legacyJobsRoutes,
  'legacyPoll' | 'legacyPollByGet' | 'legacyReport' | 'legacyFail'
>;
type Fields = Record<string, unknown>;
type Asking = Pick<Context<AnyRoute>, 'caller' | 'response' | 'signal'> & {
  readonly query: { readonly miner_id?: string | undefined };
};

/** Those programs give up after 5 s. */
const HOLD_SECONDS_MAX = 4;
const MESSAGE_MAX = 2_000;
const CODE_MAX = 64;
const METRICS_MAX = 32;

/** Of measurements those alone that are numbers. */
const metricsOf = (metrics: Fields | undefined): Pick<Said, 'metrics'> => {
  const numbers = Object.entries(metrics ?? {}).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number' && entry[0].length <= 64,
  );
  return numbers.length === 0 ? {} : { metrics: Object.fromEntries(numbers.slice(0, METRICS_MAX)) };
};

const failure = (
  jobId: string,
  code: string | undefined,
  message: unknown,
  metrics: Fields | undefined,
): Said => ({
  job_id: jobId,
  status: 'failed',
  error: {
    code: code === undefined || code === '' ? 'MINER_FAILED' : code.slice(0, CODE_MAX),
    message: (typeof message === 'string' && message !== ''
      ? message
      : 'The miner could not run the job.'
    ).slice(0, MESSAGE_MAX),
  },
  ...metricsOf(metrics),
});

/** A result in the original's words: what says of itself that it failed is a failure. */
const saidBy = (
  job: Pick<JobRow, 'id' | 'job_type'>,
  body: { result?: string | Fields | undefined; success?: boolean | undefined; metrics?: Fields | undefined },
): Said => {
  const { result, success, metrics } = body;
  const told: Fields = isRecord(result) ? result : { output: result };
  const isFailure = success === false || String(told.status ?? '').toLowerCase() === 'failed';
  if (isFailure) return failure(job.id, undefined, told.error ?? told.output, metrics);
  return {
    job_id: job.id,
    status: 'completed',
    result: bothWays(job.job_type, result ?? {}),
    ...metricsOf(metrics),
  };
};

const late = () =>
  new Problem(
    'STALE_LEASE',
    'This attempt is over; the job is no longer yours. Drop it and ask for another.',
  );

/** What miners of the original ask and say. Leases are kept for them: a report is about the attempt that is theirs now. */
export const minerHandlers = (work: Work, handOut: HandOut): Handlers<MinerRoutes> => {
  const take = async (context: Asking, waitSeconds: number) => {
    const minerId = await speakerOf(work, handOut, context);
    const wish = {
      wait_seconds: Math.max(0, Math.min(waitSeconds, HOLD_SECONDS_MAX)),
      max_jobs: 1,
      isQuiet: true,
    };
    const [leased] = await handOut.take(minerId, wish, context);
    if (leased === undefined) return undefined;
    const { job } = leased;
    const parts = {
      job_id: JSON.stringify(job.id),
      payload: payloadFor(job.job_type, leased),
      constraints: JSON.stringify(constraintsFor(job.constraints, job.model)),
    };
    return `{${Object.entries(parts).map(([name, text]) => `"${name}":${text}`)}}`;
  };
  /** Work as JSON that is written already; null: it was answered. */
  const sendWork = ({ response }: Asking, text: string): null => {
    response.status(200).type('application/json').send(text);
    return null;
  };

  /**
   * The attempt that a report of this account is about.
   * @returns null when it held the job before, and does no more
   * @throws Problem NOT_FOUND when it never did
   */
  const attemptOf = async (trx: Trx, job: JobRow, accountId: string, minerId: string | undefined) => {
    const isTheirs = (id: string | null) => minerId === undefined || id === minerId;
    if (job.miner_account_id === accountId && isTheirs(job.miner_id))
      return { job_id: job.id, miner_id: job.miner_id as string, attempt: job.attempt };
    const lost = (await minersThatLost(trx, job.seq, accountId)).filter(isTheirs);
    if (lost[0] === undefined) throw notFound('job');
    // A failure that was heard, and whose answer was not, is said again when the job waits already.
    return job.status === 'pending' && job.report_attempt === job.attempt
      ? { job_id: job.id, miner_id: lost[0], attempt: job.attempt }
      : null;
  };

  const report = async (
    context: Asking & { readonly params: { readonly job_id: string } },
    sayOf: (job: JobRow) => Said,
  ): Promise<Verdict> => {
    const { job_id: jobId } = context.params;
    const isNamed = nameGiven(context) !== undefined;
    const minerId = isNamed ? await speakerOf(work, handOut, context) : undefined;
    return await work.store.transact('jobs.legacy_report', async (trx) => {
      const job = await findJob(trx, jobId);
      if (job === undefined) throw notFound('job');
      const lease = await attemptOf(trx, job, context.caller.account_id, minerId);
      if (lease === null) throw late();
      work.seen.add(lease.miner_id);
      return await acceptReport(trx, work, preparedUnder(lease, sayOf(job)), job);
    });
  };

  return {
    legacyPoll: async (context) => {
      const text = await take(context, context.body.max_wait_seconds ?? HOLD_SECONDS_MAX);
      return text === undefined ? { status: 204, body: undefined } : sendWork(context, text);
    },
    legacyPollByGet: async (context) => sendWork(context, (await take(context, HOLD_SECONDS_MAX)) ?? '{}'),
    legacyReport: async (context) => {
      const { receipt } = await report(context, (job) => saidBy(job, context.body));
      return {
        status: 200,
        body: {
          status: 'ok',
          receipt: receipt === null ? null : legacyReceipt(work.keyring, claimsOf(receipt.proof)),
        },
      };
    },
    legacyFail: async (context) => {
      const { error_code, error_message, metrics } = context.body;
      await report(context, (job) => failure(job.id, error_code, error_message, metrics));
      return { status: 200, body: { status: 'ok' } };
    },
  };
};
