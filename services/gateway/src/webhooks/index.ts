import type { Log, Metrics, Purge, Sender, Store } from '@aitbc/chassis';
import type { FindResult } from './bodies.ts';
import { createPump } from './pump.ts';
import { createWebhookHandlers } from './routes.ts';
import { createWebhookSchedule } from './schedule.ts';
import { createSecrets } from './secrets.ts';
import { countDisabled, countWaiting } from './store.ts';

/** Webhooks as the gateway plugs them in: all but the calls themselves, which workers make. */
export const openWebhooks = (options: {
  store: Store;
  sender: Sender;
  isConnected: () => boolean;
  /** From which secrets are made, and with which calls are locked. */
  key: Buffer;
  lockKey: Buffer;
  findResult: FindResult;
  callsMax: number;
  /** For how long deliveries that are over are kept. */
  deliveriesMs: number;
  purge: Purge;
  isDevelopment: boolean;
  now: () => number;
  log: Log;
  metrics: Metrics;
}) => {
  const { store, sender, isDevelopment, now, metrics } = options;
  const secrets = createSecrets(options.key);
  const pump = createPump({ ...options, secrets, stream: `${store.stream}-webhooks` });
  metrics.gauge('webhook_deliveries_waiting', 'Deliveries of webhooks that are not over', () =>
    countWaiting(store.read),
  );
  metrics.gauge('webhooks_disabled', 'Webhooks that were switched off because nothing got through', () =>
    countDisabled(store.read),
  );
  return {
    handlers: createWebhookHandlers({ store, secrets, isDevelopment, now }),
    schedule: createWebhookSchedule({ store, pump, purge: options.purge, keptMs: options.deliveriesMs, now }),
    stop: async (): Promise<void> => {
      await pump.stop();
      await sender.close();
    },
  };
};
