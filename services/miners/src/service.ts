import { clock, createParameters, type Fail, standUp } from '@aitbc/chassis';
import { routes } from '@aitbc/contracts';
import { migrations } from '../migrations/index.ts';
import type { Config } from './config.ts';
import { createConsumers } from './consumers.ts';
import { createRoster } from './roster.ts';
import { createHandlers } from './routes.ts';
import { createFlush, createJudge, createSchedule } from './schedule.ts';
import { allPresences } from './store.ts';

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
      compose: async ({ store, redis, metrics }) => {
        const parameters = await createParameters(store, 'miners');
        const roster = createRoster();
        const hears = () => redis.status === 'ready';
        const flush = createFlush(store, roster);
        metrics.gauge('registered_miners', 'Miners that registered', () => roster.count());
        metrics.gauge('active_miners', 'Miners heard within the timeout', () => roster.count('active'));
        return {
          handlers: createHandlers({ store, roster, parameters, now }),
          consumers: createConsumers({ roster, parameters, now }),
          schedule: createSchedule({
            store,
            judge: createJudge({ store, roster, parameters, hears, now }),
            flush,
            now,
          }),
          start: async () => {
            // Those that live beat within one interval.
            const livesUntilMs = now() + parameters.get('heartbeat_timeout_seconds') * 500;
            // Nobody was seen in the future: a file written while the clock ran ahead would keep the dead alive.
            for (const miner of await allPresences(store.read))
              roster.set({ ...miner, seen_at_ms: Math.min(miner.seen_at_ms, now()) }, livesUntilMs);
          },
          stop: async () => {
            roster.endHeld();
            await flush();
          },
        };
      },
    },
    config,
    fail,
  );
