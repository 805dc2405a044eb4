import type { Handlers } from '@aitbc/chassis';
import type { jobsRoutes } from '@aitbc/contracts';
import type { EventStreams } from './event-stream.ts';
import { clientHandlers } from './routes/client.ts';
import { minerHandlers } from './routes/miner.ts';
import { receiptHandlers } from './routes/receipts.ts';
import { usageHandlers } from './routes/usage.ts';
import type { Work } from './work.ts';

export const createHandlers = (
  work: Work,
  streams: EventStreams,
  stopping: AbortSignal,
): Handlers<typeof jobsRoutes> => ({
  ...clientHandlers(work, streams, stopping),
  ...minerHandlers(work),
  ...receiptHandlers(work),
  ...usageHandlers(work),
});
