import type { Handlers } from '@aitbc/chassis';
import type { legacyJobsRoutes } from '@aitbc/contracts';
import type { HandOut } from '../hand-out.ts';
import type { Work } from '../work.ts';
import { clientHandlers } from './client.ts';
import { minerHandlers } from './miner.ts';

/**
 * The routes of the original coordinator: each is translated to a command that is there, and its answer back. No state is
 * kept for them but the payload as it was sent.
 */
export const legacyHandlers = (work: Work, handOut: HandOut): Handlers<typeof legacyJobsRoutes> => ({
  ...clientHandlers(work),
  ...minerHandlers(work, handOut),
});
