import { type Context, clock, createShare, type Handlers, type Trx } from '@aitbc/chassis';
import {
  invalidField,
  isJobType,
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
import { reportSeen } from '../commands/miners.ts';
import {
  acceptProgress,
  acceptReport,
  openLease,
  type PreparedReport,
  prepareReport,
  type Verdict,
} from '../commands/report.ts';
import { returnLeases } from '../commands/start.ts';
import { satisfies } from '../dispatcher/match.ts';
import type { Leased } from '../polls.ts';
import { requirementOfRow } from '../requirement.ts';
import { oldestWaiting } from '../store/backlog.ts';
import { findJobs } from '../store/jobs.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';

/**
 * A registration may still be on its way here when the first poll arrives: behind what others send at once, for seconds.
 * So a poll waits for it as long as it would for work...
 */
const REGISTRATION_WAIT_MIN_MS = 2_000;
/** ...but who never registered shall hear so. */
const REGISTRATION_WAIT_MAX_MS = 15_000;
/** A poll without waiting still gives the dispatchers time to answer, when there is work at all. */
const WAIT_MIN_MS = 1_000;

/** Jobs of a type looked at for a poll that does not wait: more than so many, and a dispatcher has to say. */
const LOOK = 50;
/** Two for each of the thousand miners that an account can have: one that waits, one that takes its place. */
const POLLS_PER_ACCOUNT_MAX = 2_000;

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

export const minerHandlers = (work: Work): Handlers<MinerRoutes> => {
  const { store, fleet } = work;

  const polls = createShare({
    max: POLLS_PER_ACCOUNT_MAX,
    code: 'TOO_MANY_POLLS',
    what: 'requests for work open',
    retryAfterSeconds: 5,
  });

  /** Whether anything waits that it may run, as far as a short look tells; the dispatchers know the rest. */
  const hasWork = async (minerId: string): Promise<boolean> => {
    const miner = fleet.miner(minerId);
    const ability = miner && fleet.ability(minerId, miner.revision);
    if (ability === undefined) return false;
    for (const type of ability.types) {
      if (!isJobType(type)) continue;
      const oldest = await oldestWaiting(store.read, type, LOOK);
      if (oldest.length === LOOK || oldest.some((job) => satisfies(ability, requirementOfRow(job))))
        return true;
    }
    return false;
  };

  /** @returns undefined while no such miner of this account is known. @throws Problem when it must be named. */
  const findOwnMiner = (accountId: string, minerId: string | undefined): string | undefined => {
    const all = fleet.minersOf(accountId);
    if (minerId !== undefined) return all.includes(minerId) ? minerId : undefined;
    // Names of machines long gone do not make the one that is left ambiguous.
    const active = all.filter((id) => fleet.miner(id)?.status === 'active');
    const own = active.length > 0 ? active : all;
    if (own.length > 1) throw invalidField('query.miner_id', 'is needed: this account has several miners');
    return own[0];
  };

  const awaitMiner = async (
    accountId: string,
    minerId: string | undefined,
    waitMs: number,
    gone: AbortSignal,
  ): Promise<string> => {
    const known = findOwnMiner(accountId, minerId);
    if (known !== undefined) return known;
    if (work.fleetSync !== undefined) {
      // Another process may have heard of it.
      if (minerId !== undefined) await work.fleetSync.find(minerId);
      const found = findOwnMiner(accountId, minerId);
      if (found !== undefined) return found;
      work.fleetSync.soon();
    }
    const late = await new Promise<string | undefined>((resolve) => {
      const done = (id: string | undefined) => {
        clearTimeout(timer);
        stopListening();
        gone.removeEventListener('abort', giveUp);
        resolve(id);
      };
      const giveUp = () => done(undefined);
      const timer = setTimeout(
        giveUp,
        Math.min(Math.max(waitMs, REGISTRATION_WAIT_MIN_MS), REGISTRATION_WAIT_MAX_MS),
      );
      const stopListening = fleet.onRegistered(() => {
        const own = fleet.minersOf(accountId);
        const found = minerId === undefined ? own[0] : own.find((id) => id === minerId);
        if (found !== undefined) done(found);
      });
      gone.addEventListener('abort', giveUp);
    });
    if (late === undefined) {
      throw new Problem(
        'MINER_NOT_REGISTERED',
        'No such miner of this account; register first with POST /v1/miner/register.',
      );
    }
    return late;
  };

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

  /**
   * Waits for work, as long as the request is there.
   * @throws Problem TOO_MANY_POLLS
   */
  const nextWork = async (
    minerId: string,
    wish: { wait_seconds: number; max_jobs: number },
    { caller, signal, response }: Pick<Context<MinerRoutes['poll']>, 'caller' | 'signal' | 'response'>,
  ) => {
    work.seen.add(minerId);
    // One that counts as gone is back: its work may start as soon as miners has heard so.
    if (fleet.miner(minerId)?.status === 'inactive') await reportSeen(work);
    if (store.isShared) await work.load.countAgain(store, [minerId]);
    const isWorthWaiting = wish.wait_seconds > 0 || (await hasWork(minerId));
    const waitMs = isWorthWaiting ? Math.max(wish.wait_seconds * 1_000, WAIT_MIN_MS) : 0;
    const waitForWork = () => {
      const giveBack = polls.take(caller.account_id);
      return work.polls.wait(minerId, wish.max_jobs, waitMs, signal).finally(giveBack);
    };
    const jobs = waitMs === 0 ? [] : await waitForWork();
    work.seen.add(minerId);
    if (jobs.length > 0) {
      // The request went away between the lease and the answer.
      const putBack = () => void returnLeases(work, jobs).catch(() => {});
      if (signal.aborted) putBack();
      else response.once('close', () => response.writableFinished || putBack());
    }
    return { server_time: toTimestamp(clock.nowMs()), items: jobs.map(toItem) };
  };

  return {
    poll: async (context) => {
      const { query, signal } = context;
      const startedAt = performance.now();
      const waitMs = query.wait_seconds * 1_000;
      const minerId = await awaitMiner(context.caller.account_id, query.miner_id, waitMs, signal);
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
