import type { Handlers } from '@aitbc/chassis';
import type { routes } from '@aitbc/contracts';
import { createDoor } from './door/index.ts';
import type { EventStreams } from './event-stream.ts';
import { createHandOut } from './hand-out.ts';
import { legacyHandlers } from './legacy/index.ts';
import { clientHandlers } from './routes/client.ts';
import { minerHandlers } from './routes/miner.ts';
import { receiptHandlers } from './routes/receipts.ts';
import { usageHandlers } from './routes/usage.ts';
import type { Work } from './work.ts';

export const createHandlers = (
  work: Work,
  streams: EventStreams,
  stopping: AbortSignal,
): Handlers<typeof routes.jobs> => {
  const handOut = createHandOut(work);
  return {
    ...clientHandlers(work, streams, stopping),
    ...minerHandlers(work, handOut),
    ...receiptHandlers(work),
    ...createDoor(work, stopping),
    ...usageHandlers(work),
    ...legacyHandlers(work, handOut),
  };
};
