import { clock, type Scheduled, type Trx } from '@aitbc/chassis';
import { expire, timeOut } from './commands/end.ts';
import { reportSeen } from './commands/miners.ts';
import type { IndexSync } from './index-sync.ts';
import { PRESENCE_EVERY_MS, type Presence } from './presence.ts';
import { expiredJobs, timedOutJobs } from './store/backlog.ts';
import type { Work } from './work.ts';

/** One transaction ends so many: some 10 ms in which nobody else writes. */
const TIMER_BATCH = 100;
/** ...and one turn of a timer so many batches; the rest a quarter of a second later. */
const TIMER_BATCHES = 20;
const TIMER_EVERY_MS = 250;
const SEEN_EVERY_MS = 5_000;

const timer = (
  work: Work,
  name: string,
  due: (nowMs: number) => Promise<string[]>,
  act: (trx: Trx, work: Work, jobId: string, nowMs: number) => Promise<void>,
): Scheduled => ({
  name,
  everyMs: TIMER_EVERY_MS,
  run: async (signal) => {
    for (let batch = 0; batch < TIMER_BATCHES && !signal.aborted; batch++) {
      const nowMs = clock.nowMs();
      const ids = await due(nowMs);
      if (ids.length > 0) {
        await work.store.transact(name, async (trx) => {
          for (const id of ids) await act(trx, work, id, nowMs);
        });
      }
      if (ids.length < TIMER_BATCH) return;
    }
  },
});

/** Everything that happens by itself. Of several processes the one that leads does what is not `everywhere`. */
export const createSchedule = (work: Work, sync: IndexSync, presence: Presence | undefined): Scheduled[] => [
  ...(presence === undefined
    ? []
    : [
        {
          name: 'jobs.presence',
          where: 'everywhere' as const,
          everyMs: PRESENCE_EVERY_MS,
          run: presence.tick,
        },
      ]),
  timer(work, 'jobs.expire', (nowMs) => expiredJobs(work.store.read, nowMs, TIMER_BATCH), expire),
  timer(work, 'jobs.time_out', (nowMs) => timedOutJobs(work.store.read, nowMs, TIMER_BATCH), timeOut),
  { name: 'jobs.miners_seen', where: 'everywhere', everyMs: SEEN_EVERY_MS, run: () => reportSeen(work) },
  {
    name: 'jobs.polls',
    where: 'everywhere',
    everyMs: 500,
    run: () => work.polls.reofferOld(clock.nowMs()),
  },
  work.erasures.schedule,
  // In each, which looks whether it leads: one that does no more must forget how far it came.
  { name: 'jobs.index', where: 'everywhere', everyMs: 1_000, run: sync.tick },
];
