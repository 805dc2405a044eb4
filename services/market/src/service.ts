import { createListeners, DAY_MS, type Fail, clock as processClock, standUp } from '@aitbc/chassis';
import { routes } from '@aitbc/contracts';
import { migrations } from '../migrations/index.ts';
import type { Config } from './config.ts';
import { createConsumers } from './consumers.ts';
import { createHolds } from './holds.ts';
import { createHandlers } from './routes.ts';
import { createSchedule } from './schedule.ts';
import { openOrders } from './store/order.ts';

/** The composition root: every part with its plain dependencies, and nothing else. */
export const startMarket = (config: Config, fail: Fail) =>
  standUp(
    {
      name: 'market',
      routes: routes.market,
      migrations,
      compose: async ({ store, metrics, purge }) => {
        const listeners = await createListeners(store);
        const clock = () => ({ now: processClock.nowMs(), scale: config.BUSINESS_TIME_SCALE, listeners });
        const holds = createHolds(store);
        metrics.gauge('market_open_orders', 'Bookings that wait for money, for their start or run', () =>
          openOrders(store.read),
        );
        return {
          handlers: createHandlers({ store, holds, clock, holdMs: config.BOOKING_HOLD_SECONDS * 1_000 }),
          consumers: createConsumers(holds, listeners, clock),
          schedule: createSchedule(
            store,
            clock,
            {
              absenceMs: config.BOOKING_ABSENCE_SECONDS * 1_000,
              pricesMs: config.KEEP_PRICES_DAYS * DAY_MS,
            },
            purge,
          ),
          stop: holds.stop,
        };
      },
    },
    config,
    fail,
  );
