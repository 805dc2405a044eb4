import { clock, sendAs, type Trx } from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import { abilityOf, satisfies } from '../dispatcher/match.ts';
import type { Leased } from '../polls.ts';
import { requirementOfRow } from '../requirement.ts';
import { countRunningOf } from '../store/backlog.ts';
import { findMiner, readOffer } from '../store/fleet.ts';
import { addEvent, findJob, findJobs } from '../store/jobs.ts';
import { findToStart, startJob } from '../store/start.ts';
import type { Work } from '../work.ts';
import { giveBack, isAvoided, offerAfterCommit } from './lifecycle.ts';

const send = sendAs<'jobs'>();

/**
 * So long a program that gives no sign while it works is left alone: its model server has a limit of 60 s, others of
 * minutes. A crashed one costs its job as much.
 */
const QUIET_MAX_MS = 300_000;

/** Back to the dispatchers, if it still waits. */
const offerAgain = async (trx: Trx, work: Work, jobIds: readonly string[], reason: string): Promise<void> => {
  if (jobIds.length === 0) return;
  trx.afterCommit(() => work.metrics.matchesRefused.inc({ reason }, jobIds.length));
  const jobs = await findJobs(trx, jobIds);
  for (const id of jobIds) {
    const job = jobs.get(id);
    if (job?.status === 'pending' && job.is_funded === 1) offerAfterCommit(trx, work, job);
  }
};

/** Puts leases back whose miner could not be told. */
export const returnLeases = (work: Work, leases: readonly Leased[]): Promise<void> =>
  work.store.transact('jobs.give_back', async (trx) => {
    for (const leased of leases) {
      const job = await findJob(trx, leased.job.id);
      if (job?.attempt === leased.job.attempt) await giveBack(trx, work, job, clock.nowMs());
    }
  });

/**
 * A match proposed by a dispatcher. It holds when the poll is still open here, the miner is active with a slot free,
 * the job still waits, the miner fits it, exactly, and its account did not lose it while another could run it; what does
 * not hold is offered again. The poll is answered once the lease is on disk.
 */
export const startMatched = async (
  trx: Trx,
  work: Work,
  match: Payload<'dispatch.matched'>,
): Promise<void> => {
  const poll = work.polls.find(match.poll_id);
  if (poll === undefined) {
    await offerAgain(trx, work, match.job_ids, 'poll_gone');
    return;
  }
  const miner = await findMiner(trx, poll.minerId);
  const running = miner?.status === 'active' ? await countRunningOf(trx, poll.minerId) : 0;
  const free = miner?.status === 'active' ? Math.min(poll.wanted, miner.concurrency - running) : 0;
  if (miner !== undefined && work.fleet.miner(poll.minerId)?.revision !== miner.revision) {
    // The copy here is late, and the same match would come again and again for what it says.
    const offer = await readOffer(trx, poll.minerId);
    trx.afterCommit(() => work.fleet.setMiner(offer));
  }
  const nowMs = clock.nowMs();
  const started: Leased[] = [];
  const left: string[] = [];
  const unfit: string[] = [];
  const avoided: string[] = [];
  const ability = async (revision: number) =>
    work.fleet.ability(poll.minerId, revision) ?? abilityOf(await readOffer(trx, poll.minerId), poll.minerId);
  const found = await findToStart(trx, free > 0 ? match.job_ids : []);
  const gone = () => trx.afterCommit(() => work.metrics.matchesRefused.inc({ reason: 'job_gone' }));
  for (const id of match.job_ids) {
    if (miner === undefined || started.length >= free) {
      left.push(id);
      continue;
    }
    const waiting = found.get(id);
    if (waiting === undefined) {
      gone();
      continue;
    }
    const { parameters } = waiting;
    if (parameters === null) {
      left.push(id);
      continue;
    }
    // The index proposes; what was sent by both sides decides.
    const requirement = requirementOfRow(waiting);
    if (!satisfies(await ability(miner.revision), requirement)) {
      unfit.push(id);
      continue;
    }
    const who = { id: poll.minerId, accountId: miner.account_id };
    if (await isAvoided(work, trx, waiting, requirement, who)) {
      avoided.push(id);
      continue;
    }
    const values = { id, miner_id: poll.minerId, miner_account_id: miner.account_id, now_ms: nowMs };
    const job = await startJob(trx, values);
    if (job === undefined) {
      gone();
      continue;
    }
    addEvent(trx, job, 'running', null, nowMs);
    await send(trx, 'jobs.started', {
      job_id: job.id,
      miner_id: poll.minerId,
      miner_account_id: miner.account_id,
      attempt: job.attempt,
      deadline_at_ms: job.deadline_at_ms as number,
      ...(poll.isQuiet ? { quiet_until_ms: nowMs + Math.min(job.timeout_ms, QUIET_MAX_MS) } : {}),
    });
    started.push({ job, parameters, payload: waiting.payload });
  }
  if (miner?.status === 'active')
    trx.afterCommit(() => work.load.set(poll.minerId, running + started.length));
  // Before its jobs: the index hears what the miner is now, and does not propose the same again.
  if (started.length === 0) trx.afterCommit(() => work.polls.refresh(poll.minerId));
  await offerAgain(trx, work, left, 'miner_busy');
  await offerAgain(trx, work, unfit, 'unfit');
  await offerAgain(trx, work, avoided, 'avoided');
  if (started.length === 0) return;
  trx.afterCommit(() => {
    const { active, queueWait, dispatchLatency } = work.metrics;
    for (const { job } of started) {
      active.pending -= 1;
      active.running += 1;
      queueWait.observe((nowMs - job.queued_at_ms) / 1_000);
      if (job.model !== null) work.waits.add(job.model, nowMs - job.queued_at_ms);
      dispatchLatency.observe(Math.max(0, nowMs - Math.max(job.queued_at_ms, poll.openedAtMs)) / 1_000);
    }
    // What cannot be put back now is lost with its deadline, or by what the miner says of it.
    if (!work.polls.deliver(poll, started)) void returnLeases(work, started).catch(() => {});
  });
};
