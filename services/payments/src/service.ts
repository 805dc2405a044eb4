import { type Fail, standUp } from '@aitbc/chassis';
import { routes } from '@aitbc/contracts';
import { migrations } from '../migrations/index.ts';
import type { Config } from './config.ts';
import { createConsumers } from './consumers.ts';
import { createHandlers } from './routes.ts';

/** The composition root: every part with its plain dependencies, and nothing else. */
export const startPayments = (config: Config, fail: Fail) =>
  standUp(
    {
      name: 'payments',
      routes: routes.payments,
      migrations,
      compose: () => ({ handlers: createHandlers(), consumers: createConsumers(), schedule: [] }),
    },
    config,
    fail,
  );
