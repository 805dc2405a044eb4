import { type Context, clock, type Handlers, type Trx } from '@aitbc/chassis';
import {
  invalidField,
  issuesProblem,
  JobOutput,
  JobResult,
  type jobsRoutes,
  Problem,
  type ProblemBody,
  RESULT_COST,
  STREAM_CHUNK_MAX,
  toTimestamp,
  unitsOf,
  validationProblem,
} from '@aitbc/contracts';
import {
  acceptProgress,
  acceptReport,
  openLease,
  type PreparedReport,
  prepareReport,
  type Verdict,
} from '../commands/report.ts';
import type { HandOut } from '../hand-out.ts';
import type { Leased } from '../polls.ts';
import { findJobs } from '../store/jobs.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';

type MinerRoutes = Pick<typeof jobsRoutes, 'poll' | 'progress' | 'stream' | 'result'>;

interface Item<V> {
  job_id: string | null;
  status: number;
  verdict?: V;
  error?: ProblemBody['error'];
}
type BatchItem = Item<Verdict>;
type OutputVerdict = { listening: boolean; seq: number };
type StreamItem = Item<OutputVerdict>;

export const minerHandlers = (work: Work, handOut: HandOut): Handlers<MinerRoutes> => {
  const { store } = work;

  const toItem = ({ job, parameters }: Leased) => ({
    id: job.id,
    job_type: job.job_type,
    parameters: JSON.parse(parameters) as Record<string, unknown>,
    attempt: job.attempt,
    lease: work.leases.seal({
      job_id: job.id,
      miner_id: job.miner_id as string,
      attempt: job.attempt,
    }),
    deadline_at: toTimestamp(job.deadline_at_ms as number),
    stream: work.output.isListened(job.id),
  });

  const passOn = async (accountId: string, output: JobOutput): Promise<OutputVerdict> => {
    const lease = await openLease(work, accountId, output);
    const chunks = output.chunks.map((chunk, index) => {
      const text = JSON.stringify(chunk);
      if (text.length > STREAM_CHUNK_MAX)
        throw invalidField(`chunks.${index}`, `must be at most ${STREAM_CHUNK_MAX} characters of JSON`);
      return text;
    });
    return await work.output.push(lease, output.seq, chunks);
  };

  const nextWork = async (
    minerId: string,
    wish: { wait_seconds: number; max_jobs: number },
    context: Pick<Context<MinerRoutes['poll']>, 'caller' | 'signal' | 'response'>,
  ) => {
    const jobs = await handOut.take(minerId, wish, context);
    return { server_time: toTimestamp(clock.nowMs()), items: jobs.map(toItem) };
  };

  return {
    poll: async (context) => {
      const { query, signal } = context;
      const startedAt = performance.now();
      const waitMs = query.wait_seconds * 1_000;
      const minerId = await handOut.minerOf(context.caller.account_id, query.miner_id, waitMs, signal);
      const leftMs = Math.max(0, waitMs - (performance.now() - startedAt));
      const wish = { wait_seconds: leftMs / 1_000, max_jobs: query.max_jobs };
      return { status: 200, body: await nextWork(minerId, wish, context) };
    },

    progress: async (context) => {
      const { body } = context;
      const lease = await openLease(work, context.caller.account_id, body);
      const status = await store.transact('jobs.progress', (trx) => acceptProgress(trx, lease, body));
      return { status: 200, body: { status } };
    },

    stream: async (context) => {
      const { body } = context;
      const accountId = context.caller.account_id;
      if (!('streams' in body)) return { status: 200, body: await passOn(accountId, body) };
      const passOnOne = async (item: unknown, index: number): Promise<StreamItem> => {
        const issues = context.itemIssues.get(index);
        if (issues !== undefined) return { job_id: idOf(item), ...problemItem(issuesProblem(issues)) };
        const parsed = JobOutput.safeParse(item);
        if (!parsed.success) return { job_id: idOf(item), ...problemItem(validationProblem(parsed.error)) };
        const { job_id } = parsed.data;
        try {
          return { job_id, status: 200, verdict: await passOn(accountId, parsed.data) };
        } catch (error) {
          return { job_id, ...problemItem(error) };
        }
      };
      return { status: 200, body: { items: await Promise.all(body.streams.map(passOnOne)) } };
    },

    result: async (context) => {
      const { body } = context;
      const accountId = context.caller.account_id;
      if (!('results' in body)) {
        const { next, ...report } = body;
        const prepared = await prepareReport(work, accountId, report);
        const reply = await context.write(async (trx) => ({
          status: 200,
          body: await acceptReport(trx, work, prepared),
        }));
        if (next === undefined) return reply;
        // What was accepted is answered, whatever stands against more work.
        const more = await nextWork(prepared.lease.miner_id, next, context).catch(noWork);
        return { status: 200, body: { ...(reply.body as Verdict), ...more } };
      }
      context.response.setHeader('x-rate-cost', String(unitsOf(RESULT_COST, body.results.length)));
      const prepareOne = async (result: unknown, index: number): Promise<PreparedReport | BatchItem> => {
        const issues = context.itemIssues.get(index);
        if (issues !== undefined) return { job_id: idOf(result), ...problemItem(issuesProblem(issues)) };
        const parsed = JobResult.safeParse(result);
        if (!parsed.success) return { job_id: idOf(result), ...problemItem(validationProblem(parsed.error)) };
        try {
          return await prepareReport(work, accountId, parsed.data);
        } catch (error) {
          return { job_id: parsed.data.job_id, ...problemItem(error) };
        }
      };
      const prepared = await Promise.all(body.results.map(prepareOne));
      const acceptOne = async (
        trx: Trx,
        item: PreparedReport | BatchItem,
        jobs: Map<string, JobRow>,
      ): Promise<BatchItem> => {
        if (!('report' in item)) return item;
        const { job_id } = item.report;
        const read = jobs.get(job_id);
        // A second report of it finds another job than the first did.
        jobs.delete(job_id);
        try {
          // Without a savepoint: what is refused is refused before it wrote anything.
          return { job_id, status: 200, verdict: await acceptReport(trx, work, item, read) };
        } catch (error) {
          return { job_id, ...problemItem(error) };
        }
      };
      const items = await store.transact('jobs.results', async (trx) => {
        const accepted: BatchItem[] = [];
        const ids = prepared.flatMap((item) => ('report' in item ? [item.report.job_id] : []));
        const jobs = await findJobs(trx, ids);
        for (const item of prepared) accepted.push(await acceptOne(trx, item, jobs));
        return accepted;
      });
      return { status: 200, body: { items } };
    },
  };
};

const noWork = (error: unknown) => {
  if (!(error instanceof Problem)) throw error;
  return { server_time: toTimestamp(clock.nowMs()), items: [] };
};

const problemItem = (error: unknown): { status: number; error: ProblemBody['error'] } => {
  if (!(error instanceof Problem)) throw error;
  return { status: error.status, ...error.toBody() };
};

const idOf = (result: unknown): string | null => {
  const id = JobResult.shape.job_id.safeParse((result as { job_id?: unknown } | null)?.job_id);
  return id.success ? id.data : null;
};
