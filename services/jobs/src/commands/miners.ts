import { clock, sendAs, type Trx } from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import { MINERS_TOPIC } from '../fleet-sync.ts';
import { runningJobsOf } from '../store/backlog.ts';
import { saveMiner } from '../store/fleet.ts';
import { findJob } from '../store/jobs.ts';
import type { MinerOffer } from '../tables.ts';
import type { Work } from '../work.ts';
import { loseAttempt } from './lifecycle.ts';

const send = sendAs<'jobs'>();

/** As many as one message holds. */
const SEEN_MAX = 20_000;

/** A miner is new, different, gone or back. Gone: what it ran goes back, and elsewhere while another fits. */
export const minerChanged = async (trx: Trx, work: Work, miner: MinerOffer): Promise<void> => {
  if (!(await saveMiner(trx, miner))) return;
  if (work.store.isShared) trx.notify(MINERS_TOPIC);
  trx.afterCommit(() => {
    work.fleet.setMiner(miner);
    work.polls.refresh(miner.miner_id);
  });
  if (miner.status === 'active') return;
  const nowMs = clock.nowMs();
  for (const job of await runningJobsOf(trx, miner.miner_id)) {
    await loseAttempt(trx, work, job, {
      event: 'lose_miner',
      outcome: 'lost',
      error: { code: 'MINER_LOST', message: 'The miner that ran the job fell silent.' },
      report: null,
      nowMs,
    });
  }
};

/**
 * A miner says that it does not have these: its agent was killed, or never got the poll's answer. Each that is still
 * leased to it under this attempt goes back; whatever else became of one meanwhile stands.
 */
export const attemptsAbandoned = async (
  trx: Trx,
  work: Work,
  said: Payload<'miners.attempts_abandoned'>,
): Promise<void> => {
  for (const { job_id, attempt } of said.attempts) {
    const job = await findJob(trx, job_id);
    if (job?.status !== 'running' || job.attempt !== attempt || job.miner_id !== said.miner_id) continue;
    await loseAttempt(trx, work, job, {
      event: 'lose_miner',
      outcome: 'lost',
      error: { code: 'MINER_LOST', message: 'The miner no longer has the job.' },
      report: null,
      nowMs: clock.nowMs(),
    });
  }
};

/** The index lost, or never heard, what the miner of a poll can do: it hears it with the poll. */
export const describeAgain = (trx: Trx, work: Work, missing: Payload<'dispatch.capability_missing'>): void =>
  trx.afterCommit(() => {
    work.fleet.forgetTold(missing.kind);
    const poll = work.polls.find(missing.poll_id);
    if (poll !== undefined) work.polls.refresh(poll.minerId);
  });

/** Tells miners who was heard: at once when one that counts as gone polls again, else every few seconds. */
export const reportSeen = async (work: Work): Promise<void> => {
  const ids = work.seen.take();
  if (ids.length === 0) return;
  const seenAtMs = clock.nowMs();
  await work.store.transact('jobs.miners_seen', async (trx) => {
    for (let at = 0; at < ids.length; at += SEEN_MAX)
      await send(trx, 'jobs.miners_seen', { miner_ids: ids.slice(at, at + SEEN_MAX), seen_at_ms: seenAtMs });
  });
};
