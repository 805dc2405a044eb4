import { clock, createListeners, createParameters, DAY_MS, type Fail, standUp } from '@aitbc/chassis';
import { routes } from '@aitbc/contracts';
import { migrations } from '../migrations/index.ts';
import type { Config } from './config.ts';
import { createConsumers } from './consumers.ts';
import type { Status } from './domain.ts';
import { createRoster, TELL } from './roster.ts';
import { createHandlers } from './routes.ts';
import { createFlush, createJudge, createSchedule } from './schedule.ts';
import { allPresences, countMiners, minersToTell } from './store/index.ts';

/** A wake-up that was lost is made up for within 2 s; the rest is for the clocks of two hosts. */
const TOLD_WITHIN_MS = 10_000;

/**
 * The composition root: every part with its plain dependencies, and nothing else.
 * @param now by which silence is measured.
 */
export const startMiners = (config: Config, fail: Fail, now: () => number = clock.nowMs) =>
  standUp(
    {
      name: 'miners',
      routes: routes.miners,
      migrations,
      compose: async ({ store, redis, log, metrics, purge }) => {
        const parameters = await createParameters(store, 'miners');
        const listeners = await createListeners(store);
        const roster = createRoster({ isShared: store.isShared });
        const hears = () => redis.status === 'ready';
        const flush = createFlush(store, roster);
        const count = (status?: Status) =>
          store.isShared ? countMiners(store.read, status) : roster.count(status);
        metrics.gauge('registered_miners', 'Miners that registered', () => count());
        metrics.gauge('active_miners', 'Miners heard within the timeout', () => count('active'));
        let hearNoMore = (): void => {};
        return {
          handlers: createHandlers({ store, roster, parameters, now }),
          consumers: createConsumers({
            roster,
            parameters,
            listeners,
            now,
            keptMs: config.KEEP_ATTEMPTS_DAYS * DAY_MS,
          }),
          schedule: createSchedule({
            store,
            judge: createJudge({ store, roster, parameters, listeners, hears, now }),
            flush,
            purge,
            now,
          }),
          start: async () => {
            if (store.isShared) {
              // Who has something to be told may beat here while another process heard of it.
              const look = async () => {
                for (const id of await minersToTell(store.read, now() - TOLD_WITHIN_MS)) roster.wake(id);
              };
              hearNoMore = store.subscribe(TELL, () => {
                look().catch((error) => log.warn({ err: error }, 'who is to be told could not be read'));
              });
              return;
            }
            // Those that live beat within one interval.
            const livesUntilMs = now() + parameters.get('heartbeat_timeout_seconds') * 500;
            // Nobody was seen in the future: a file written while the clock ran ahead would keep the dead alive.
            for (const miner of await allPresences(store.read))
              roster.set({ ...miner, seen_at_ms: Math.min(miner.seen_at_ms, now()) }, livesUntilMs);
          },
          stop: async () => {
            hearNoMore();
            roster.endHeld();
            await flush();
          },
        };
      },
    },
    config,
    fail,
  );
