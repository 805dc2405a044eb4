import { setTimeout as pause } from 'node:timers/promises';
import { clock, sendAs, type Trx } from '@aitbc/chassis';
import { PAYMENTS_MISSED_MAX } from '@aitbc/contracts';
import { runningPaidJobs, waitingAfter } from '../store/backlog.ts';
import { doubtMoney, setStreamOfSure, streamOfSure } from '../store/money.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';
import { giveBack } from './lifecycle.ts';

const send = sendAs<'jobs'>();

const RESTORED = {
  reason: 'restored',
  message: 'the coordinator was put back from a copy; the job waits until its payment is sure',
};

/** Until the process that leads has done it, or is gone. */
const LOOK_EVERY_MS = 100;

/** One transaction, and one message, for so many. */
const BATCH = PAYMENTS_MISSED_MAX;

const ask = async (trx: Trx, jobIds: readonly string[]): Promise<void> => {
  const doubted: string[] = [];
  for (const id of jobIds) if (await doubtMoney(trx, id)) doubted.push(id);
  if (doubted.length > 0) await send(trx, 'jobs.payments_missed', { job_ids: doubted });
};

/**
 * Once, before anything is leased. A file that was put back from a copy holds jobs that may have run and been paid since:
 * their money is asked for again, and until payments has answered they do not run. So is what waits in a file that comes
 * from an earlier release, whose refunds may still be on their way. What ran when the copy was made waits again: its miner
 * has long moved on.
 *
 * Of several processes that start at once the one that leads does it, and the others wait: none leases before.
 */
export const makeSureOfMoney = async (work: Work): Promise<void> => {
  const { store } = work;
  for (;;) {
    const before = await streamOfSure(store.read);
    if (before === store.identity) return;
    if (store.leads()) return makeSure(work, before);
    await pause(LOOK_EVERY_MS);
  }
};

const makeSure = async (work: Work, before: string | undefined): Promise<void> => {
  const { store } = work;
  let running: JobRow[] = [];
  do {
    running = before === undefined ? [] : await runningPaidJobs(store.read, BATCH);
    await store.transact('jobs.restored_running', async (trx) => {
      for (const job of running) await giveBack(trx, work, job, clock.nowMs(), RESTORED);
      await ask(
        trx,
        running.map(({ id }) => id),
      );
    });
  } while (running.length === BATCH);
  let after: Parameters<typeof waitingAfter>[1] = { job_type: '', id: '' };
  for (;;) {
    const waiting = await waitingAfter(store.read, after, BATCH);
    await store.transact('jobs.restored_waiting', (trx) =>
      ask(
        trx,
        waiting.filter(({ payment_status }) => payment_status === 'escrowed').map(({ id }) => id),
      ),
    );
    const last = waiting.at(-1);
    if (last === undefined || waiting.length < BATCH) break;
    after = last;
  }
  await store.transact('jobs.sure_of_money', (trx) => setStreamOfSure(trx, store.identity));
};
