import { clock, createShare, type Handlers, pageOf, type Trx } from '@aitbc/chassis';
import {
  issuesProblem,
  type Job,
  JobSubmission,
  type jobsRoutes,
  notFound,
  Problem,
  type ProblemBody,
  SUBMIT_COST,
  unitsOf,
  validationProblem,
} from '@aitbc/contracts';
import { jobsOfItems, oneJob } from '../abridged.ts';
import { cancel } from '../commands/end.ts';
import { type Prepared, prepare, submit, submitAll } from '../commands/submit.ts';
import { assertContent, wipe } from '../commands/wipe.ts';
import { readCursor, writeCursor } from '../cursor.ts';
import { isTerminal } from '../domain.ts';
import type { EventStreams } from '../event-stream.ts';
import { requirementOfRow } from '../requirement.ts';
import { listJobsQuery } from '../store/backlog.ts';
import { findOwnJob, type JobAndTexts, textsOf } from '../store/jobs.ts';
import { receiptOf } from '../store/receipts.ts';
import type { JobRow } from '../tables.ts';
import { withTexts } from '../texts.ts';
import { resultOf, toJob, toReceipt, toStatusView } from '../views.ts';
import type { Work } from '../work.ts';

/** Jobs of a batch that share a transaction: below 10 ms in which nobody else writes. */
const GROUP = 100;

/** Status requests of an account that wait at once: it may watch the jobs of a whole batch. */
const WAITS_PER_ACCOUNT_MAX = 1_000;

type ClientRoutes = Pick<
  typeof jobsRoutes,
  'submit' | 'submitBatch' | 'list' | 'get' | 'status' | 'events' | 'cancel' | 'wipe' | 'receipts'
>;

interface BatchItem {
  status: number;
  job?: Job;
  error?: ProblemBody['error'];
}
const refused = (error: unknown): BatchItem => {
  if (!(error instanceof Problem)) throw error;
  return { status: error.status, ...error.toBody() };
};

export const clientHandlers = (
  work: Work,
  streams: EventStreams,
  stopping: AbortSignal,
): Handlers<ClientRoutes> => {
  const { store } = work;
  const waits = createShare({
    max: WAITS_PER_ACCOUNT_MAX,
    code: 'TOO_MANY_POLLS',
    what: 'requests for a status open',
    retryAfterSeconds: 5,
  });

  const whole = async ({ job, parameters, result }: JobAndTexts): Promise<Job> =>
    toJob(job, JSON.parse(parameters), result === null ? null : JSON.parse(result));

  const wholeOne = async (job: JobRow): Promise<Job> => {
    const [found] = await textsOf(store.read, [job]);
    return await whole(found as JobAndTexts);
  };

  const ownJob = async (jobId: string, clientId: string): Promise<JobRow> => {
    const job = await findOwnJob(store.read, jobId, clientId);
    if (job === undefined) throw notFound('job');
    return job;
  };

  const waitingReason = (job: JobRow) => {
    if (job.status !== 'pending') return null;
    if (job.is_funded === 0) return 'awaiting_funds';
    const capacity = work.fleet.capacity(requirementOfRow(job), clock.nowMs());
    if (capacity !== 'capable') return capacity === 'none' ? 'no_capable_miner' : 'price_too_low';
    return job.attempt > 0 ? 'retrying' : 'all_busy';
  };

  /** Resolves when `changed` does, the time is over, or either side goes. */
  const change = (changed: Promise<void>, waitMs: number, gone: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        gone.removeEventListener('abort', done);
        stopping.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      void changed.then(done);
      gone.addEventListener('abort', done);
      stopping.addEventListener('abort', done);
      if (gone.aborted || stopping.aborted) done();
    });

  /** The job as it stands, or, when it may change yet, as it stands after its next change. */
  const jobAfterChange = async (
    jobId: string,
    clientId: string,
    waitMs: number,
    gone: AbortSignal,
  ): Promise<JobRow> => {
    const changed = Promise.withResolvers<void>();
    // Before the job is read: what changes between the two must not be missed.
    const watched = work.watch.open(jobId, changed.resolve);
    try {
      const job = await ownJob(jobId, clientId);
      if (isTerminal(job.status)) return job;
      watched.knows(job.events);
      const giveBack = waits.take(clientId);
      await change(changed.promise, waitMs, gone).finally(giveBack);
    } finally {
      watched.end();
    }
    return ownJob(jobId, clientId);
  };

  return {
    submit: async (context) => {
      const prepared = prepare(work, context.body);
      return context.write(
        async (trx) => ({ status: 201, body: await submit(trx, work, context.caller, prepared) }),
        oneJob,
      );
    },

    submitBatch: async (context) => {
      const { caller } = context;
      const { jobs } = context.body;
      // The gateway held what the size allows, and keeps this much of it.
      context.response.setHeader('x-rate-cost', String(unitsOf(SUBMIT_COST, jobs.length)));
      const prepared = jobs.map((job, index): Prepared | BatchItem => {
        const parsed = JobSubmission.safeParse(job);
        const issues = context.itemIssues.get(index);
        try {
          if (issues !== undefined) throw issuesProblem(issues);
          if (!parsed.success) throw validationProblem(parsed.error);
          return prepare(work, parsed.data);
        } catch (error) {
          return refused(error);
        }
      });
      const submitSome = async (trx: Trx, some: readonly (Prepared | BatchItem)[]): Promise<BatchItem[]> => {
        const isPrepared = (item: Prepared | BatchItem): item is Prepared => !('status' in item);
        // Without savepoints: what is refused is refused before it wrote anything.
        const taken = (await submitAll(trx, work, caller, some.filter(isPrepared))).values();
        return some.map((item) => {
          if (!isPrepared(item)) return item;
          const outcome = taken.next().value as PromiseSettledResult<Job>;
          return outcome.status === 'fulfilled'
            ? { status: 201, job: outcome.value }
            : refused(outcome.reason);
        });
      };
      // With a key, the answer is kept in the transaction of its effect, so that must be one.
      if (context.response.req.get('idempotency-key') !== undefined)
        return context.write(
          async (trx) => ({ status: 207, body: { items: await submitSome(trx, prepared) } }),
          jobsOfItems,
        );
      const groups: Promise<BatchItem[]>[] = [];
      for (let at = 0; at < prepared.length; at += GROUP) {
        const group = prepared.slice(at, at + GROUP);
        groups.push(store.transact('jobs.submit_batch', (trx) => submitSome(trx, group)));
      }
      return { status: 207, body: { items: (await Promise.all(groups)).flat() } };
    },

    list: async (context) => {
      const { query } = context;
      const rows = await store.read.all(
        listJobsQuery(
          {
            client_id: context.caller.account_id,
            status: query.status,
            job_type: query.job_type,
            label: query.label,
            created_after_ms: query.created_after === undefined ? undefined : Date.parse(query.created_after),
            before: readCursor(query.cursor),
          },
          query.limit + 1,
        ),
      );
      return {
        status: 200,
        body: await pageOf(withTexts(store.read, rows), query.limit, whole, ({ job }) => writeCursor(job.id)),
      };
    },

    get: async (context) => {
      const job = await ownJob(context.params.job_id, context.caller.account_id);
      await assertContent(work, job);
      return { status: 200, body: await wholeOne(job) };
    },

    status: async (context) => {
      const { job_id: jobId } = context.params;
      const clientId = context.caller.account_id;
      const waitMs = context.query.wait_seconds * 1_000;
      const job =
        waitMs > 0
          ? await jobAfterChange(jobId, clientId, waitMs, context.signal)
          : await ownJob(jobId, clientId);
      const isQueued = job.status === 'pending' && job.is_funded === 1;
      const position = isQueued ? await work.queuePosition(job) : null;
      return { status: 200, body: toStatusView(job, waitingReason(job), position) };
    },

    events: (context) => streams.stream(context),

    cancel: async (context) => {
      const { parameters } = await readParameters(context.params.job_id, context.caller.account_id);
      return context.write(
        async (trx) => ({
          status: 200,
          body: toJob(
            await cancel(trx, work, context.params.job_id, context.caller.account_id),
            parameters,
            null,
          ),
        }),
        oneJob,
      );
    },

    wipe: async ({ params, caller }) => {
      const body = await store.transact('jobs.wipe', (trx) => wipe(trx, work, params.job_id, caller));
      await work.erasures.finish();
      return { status: 200, body };
    },

    receipts: async (context) => {
      const job = await ownJob(context.params.job_id, context.caller.account_id);
      const receipt = await receiptOf(store.read, job.seq);
      const items = receipt === undefined ? [] : [toReceipt(job, receipt, resultOf(job, receipt))];
      return { status: 200, body: { items } };
    },
  };

  async function readParameters(jobId: string, clientId: string) {
    const [found] = await textsOf(store.read, [await ownJob(jobId, clientId)]);
    return { parameters: JSON.parse((found as JobAndTexts).parameters) as Record<string, unknown> };
  }
};
