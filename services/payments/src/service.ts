import { clock, createListeners, createParameters, DAY_MS, type Fail, standUp } from '@aitbc/chassis';
import { routes } from '@aitbc/contracts';
import { migrations } from '../migrations/index.ts';
import { createAudit } from './audit.ts';
import { creditFromMint } from './commands/mint.ts';
import type { Deps } from './commands/resolve.ts';
import type { Config } from './config.ts';
import { createConsumers } from './consumers.ts';
import { createExchange } from './exchange/index.ts';
import { addGauges } from './gauges.ts';
import { createHandlers } from './routes/index.ts';
import { createSchedule, createSettler } from './schedule.ts';
import { openSigner } from './signing.ts';

/**
 * The composition root: every part with its plain dependencies, and nothing else.
 * @param now the clock that deadlines and blocks go by; a test may run it faster
 */
export const startPayments = (config: Config, fail: Fail, now: () => number = clock.nowMs) =>
  standUp(
    {
      name: 'payments',
      routes: routes.payments,
      migrations,
      // Each transfer has the number after the last, and each fee goes to one account.
      takesTurns: true,
      compose: async ({ store, log, metrics, purge }) => {
        const listeners = await createListeners(store);
        const exchange = createExchange({ config, store, log, metrics }, { now, creditFromMint, listeners });
        const deps: Deps = { parameters: await createParameters(store, 'payments'), listeners, now };
        const signer = await openSigner(store, config);
        const settler = createSettler(store, deps, log);
        const audit = createAudit(store, log);
        addGauges(metrics, store.read, audit.mismatches);
        return {
          handlers: createHandlers(store, deps, signer, exchange),
          consumers: createConsumers(deps),
          schedule: [
            ...createSchedule(store, deps, signer, settler, {
              keptMs: config.KEEP_JOBS_DAYS * DAY_MS,
              purge,
            }),
            audit.schedule,
            ...exchange.schedule,
          ],
          dependencies: {
            ...exchange.dependencies,
            ledger: {
              required: false,
              check: () => (audit.mismatches() === 0 ? null : 'a balance does not agree with its transfers'),
            },
          },
          start: async () => {
            await signer.keep();
            settler.start();
            await exchange.start();
          },
          stop: async () => {
            await exchange.stop();
            await settler.stop();
          },
        };
      },
    },
    config,
    fail,
  );
