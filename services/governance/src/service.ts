import { clock, createParameters, type Fail, standUp } from '@aitbc/chassis';
import { routes } from '@aitbc/contracts';
import { migrations } from '../migrations/index.ts';
import type { Ruling } from './commands/ruling.ts';
import type { Config } from './config.ts';
import { createConsumers } from './consumers.ts';
import { createHandlers } from './routes.ts';
import { createSchedule } from './schedule.ts';
import { highestHeard, latestSnapshot } from './store/blocks.ts';
import { countInState } from './store/proposals.ts';

/**
 * The composition root: every part with its plain dependencies, and nothing else.
 * @param now the clock that deadlines and timelocks are held against; a test may bring its own.
 */
export const startGovernance = (config: Config, fail: Fail, now: () => number = clock.nowMs) =>
  standUp(
    {
      name: 'governance',
      routes: routes.governance,
      migrations,
      compose: async ({ store, log, metrics }) => {
        const ruling: Ruling = {
          timeScale: config.BUSINESS_TIME_SCALE,
          parameters: await createParameters(store, 'governance'),
        };
        metrics.gauge('governance_active_proposals', 'Proposals open for votes', () =>
          countInState(store.read, 'active'),
        );
        metrics.gauge(
          'governance_snapshot_height',
          'Newest block whose balances can be votes',
          async () => (await latestSnapshot(store.read))?.height ?? -1,
        );
        metrics.gauge(
          'governance_snapshot_gap',
          'Blocks heard of beyond the snapshot: they are asked for again; lasting, it means that payments does not answer',
          async () =>
            Math.max(
              0,
              ((await highestHeard(store.read)) ?? -1) - ((await latestSnapshot(store.read))?.height ?? -1),
            ),
        );
        return {
          handlers: createHandlers(store, ruling, log, now),
          consumers: createConsumers(now),
          schedule: createSchedule(store, ruling, log, now),
        };
      },
    },
    config,
    fail,
  );
