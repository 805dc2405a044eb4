import type { Handlers } from '@aitbc/chassis';
import {
  Id,
  type legacyJobsRoutes,
  type legacyReceiptsRoutes,
  notFound,
  receiptNames,
} from '@aitbc/contracts';
import type { HandOut } from '../hand-out.ts';
import { receiptHandlers } from '../routes/receipts.ts';
import type { Work } from '../work.ts';
import { clientHandlers } from './client.ts';
import { minerHandlers } from './miner.ts';

const LIMIT = 50;
const LIMIT_MAX = 500;

/**
 * The routes of the original coordinator: each is translated to a command that is there, and its answer back. No state is
 * kept for them but the payload as it was sent.
 */
export const legacyHandlers = (
  work: Work,
  handOut: HandOut,
): Handlers<typeof legacyJobsRoutes & typeof legacyReceiptsRoutes> => ({
  ...clientHandlers(work),
  ...minerHandlers(work, handOut),
  legacyExplorerReceipts: async (context) => {
    const { limit = LIMIT, cursor, job_id: jobId } = context.query;
    if (jobId !== undefined && !Id.safeParse(jobId).success) throw notFound('job');
    const query = {
      limit: Math.max(1, Math.min(limit, LIMIT_MAX)),
      cursor,
      job_id: jobId === undefined ? undefined : Id.parse(jobId),
    };
    const reply = await receiptHandlers(work).publicReceipts({ query } as never);
    const { items, next_cursor } = (reply as Extract<typeof reply, object>).body;
    return { status: 200, body: { items: items.map(receiptNames), next_cursor, jobId: jobId ?? 'all' } };
  },
});
