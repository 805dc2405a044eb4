import { type Handlers, pageOf } from '@aitbc/chassis';
import {
  invalidField,
  LEGACY_OFFSET_MAX,
  type LegacyJob,
  type legacyJobsRoutes,
  notFound,
  Problem,
  type QueryOf,
} from '@aitbc/contracts';
import { cancel } from '../commands/end.ts';
import { submit } from '../commands/submit.ts';
import { assertContent } from '../commands/wipe.ts';
import { readCursor, writeCursor } from '../cursor.ts';
import { isTerminal } from '../domain.ts';
import { claimsOf } from '../receipts.ts';
import { countJobs, listJobsQuery } from '../store/backlog.ts';
import { findJob, findOwnJob } from '../store/jobs.ts';
import { receiptOf } from '../store/receipts.ts';
import type { JobRow } from '../tables.ts';
import { withTexts } from '../texts.ts';
import type { Work } from '../work.ts';
import { STATES, statusNamed, typeNamed } from './names.ts';
import { legacyReceipt } from './receipt.ts';
import { prepareLegacy } from './submission.ts';
import { jobView, outputOf, resultView } from './views.ts';

type ClientRoutes = Omit<
  typeof legacyJobsRoutes,
  'legacyPoll' | 'legacyPollByGet' | 'legacyReport' | 'legacyFail'
>;

/** The end of the year 9999: ids hold no later time. */
const LAST_MS = 253_402_300_799_999;
const LIMIT = 50;
const LIMIT_MAX = 500;

const statusAsked = (name: string | undefined): JobRow['status'] | undefined => {
  if (name === undefined) return undefined;
  const status = statusNamed(name);
  if (status === undefined)
    throw invalidField('query.status', `must be one of ${Object.values(STATES).map(({ state }) => state)}`);
  return status;
};

/** ISO 8601; without a zone it is UTC. */
const timeAsked = (field: string, text: string | undefined): number | undefined => {
  if (text === undefined) return undefined;
  const ms = Date.parse(
    /(?:Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}${text.includes('T') ? '' : 'T00:00:00'}Z`,
  );
  if (Number.isNaN(ms) || ms < 0 || ms > LAST_MS)
    throw invalidField(`query.${field}`, 'must be a time as 2026-11-24T09:30:00');
  return ms;
};

/** What clients of the original ask and say about their jobs. */
export const clientHandlers = (work: Work): Handlers<ClientRoutes> => {
  const { store } = work;

  const ownJob = async (jobId: string, clientId: string): Promise<JobRow> => {
    const job = await findOwnJob(store.read, jobId, clientId);
    if (job === undefined) throw notFound('job');
    return job;
  };

  /** The receipt of a job, with the result that it is about. */
  const endOf = async (job: JobRow) => {
    const row = await receiptOf(store.read, job.seq);
    return row === undefined
      ? undefined
      : { resultText: row.result, receipt: legacyReceipt(work.keyring, claimsOf(row.proof)) };
  };

  const list = async (query: QueryOf<ClientRoutes['legacyList']>, clientId: string) => {
    const type = query.type ?? query.job_type ?? query.service_type;
    const filter = {
      client_id: clientId,
      status: statusAsked(query.status),
      job_type: type === undefined ? undefined : typeNamed(type),
      label: undefined,
      created_after_ms: timeAsked('from_time', query.from_time),
      created_before_ms: timeAsked('to_time', query.to_time),
      before: undefined,
    };
    const limit = Math.max(1, Math.min(query.limit ?? LIMIT, LIMIT_MAX));
    const offset = query.offset ?? 0;
    const rows = await store.read.all(
      listJobsQuery({ ...filter, before: readCursor(query.cursor) }, limit + 1).offset(offset),
    );
    const page = await pageOf<{ job: JobRow; result: string | null }, LegacyJob>(
      withTexts(store.read, rows),
      limit,
      ({ job, result }) => jobView(job, result),
      ({ job }) => writeCursor(job.id),
    );
    const total = await countJobs(store.read, filter, LEGACY_OFFSET_MAX);
    return { status: 200 as const, body: { ...page, total, limit, offset, next_offset: null } };
  };

  const end = async (jobId: string, clientId: string) => {
    const job = await store.transact('jobs.legacy_cancel', (trx) => cancel(trx, work, jobId, clientId));
    return { status: 200 as const, body: jobView(job, null) };
  };

  return {
    legacySubmit: async (context) => {
      const prepared = prepareLegacy(work, context.body, context.bodyText());
      return context.write(async (trx) => {
        const { id } = await submit(trx, work, context.caller, prepared);
        return { status: 201, body: jobView((await findJob(trx, id)) as JobRow, null) };
      });
    },
    legacyHistory: ({ query, caller }) => list(query, caller.account_id),
    legacyList: ({ query, caller }) => list(query, caller.account_id),
    legacyGet: async ({ params, caller }) => {
      const job = await ownJob(params.job_id, caller.account_id);
      await assertContent(work, job);
      const row = job.status === 'completed' ? await receiptOf(store.read, job.seq) : undefined;
      return { status: 200, body: jobView(job, row?.result ?? null) };
    },
    legacyStatus: async ({ params, caller }) => {
      const { id, status, progress } = await ownJob(params.job_id, caller.account_id);
      return { status: 200, body: { id, job_id: id, ...STATES[status], progress } };
    },
    legacyResult: async ({ params, caller }) => {
      const job = await ownJob(params.job_id, caller.account_id);
      if (!isTerminal(job.status))
        throw new Problem('RESULT_NOT_READY', `The job is ${STATES[job.status].state}; ask again.`, {
          retryAfterSeconds: 1,
        });
      await assertContent(work, job);
      const found = await endOf(job);
      if (found === undefined)
        throw new Problem(
          'JOB_NOT_COMPLETED',
          `The job ended without a result: ${STATES[job.status].state}.`,
        );
      const result = resultView(job, JSON.parse(found.resultText));
      return {
        status: 200,
        body: { id: job.id, result, output: outputOf(result), receipt: found.receipt },
      };
    },
    legacyCancel: ({ params, caller }) => end(params.job_id, caller.account_id),
    legacyDelete: ({ params, caller }) => end(params.job_id, caller.account_id),
    legacyReceipt: async ({ params, caller }) => {
      const found = await endOf(await ownJob(params.job_id, caller.account_id));
      if (found === undefined) throw notFound('receipt');
      return { status: 200, body: found.receipt };
    },
    legacyReceipts: async ({ params, caller }) => {
      const job = await ownJob(params.job_id, caller.account_id);
      const found = await endOf(job);
      return {
        status: 200,
        body: { jobId: job.id, items: found === undefined ? [] : [found.receipt], next_cursor: null },
      };
    },
  };
};
