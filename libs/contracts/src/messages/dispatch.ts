import { z } from 'zod';
import { Id } from '../ids.ts';
import { defineMessage } from '../message.ts';

export const dispatchMessages = {
  /** A proposal: jobs alone decides, by compare-and-set on the job and by the poll still being open. */
  'dispatch.matched': defineMessage({
    version: 1,
    from: 'dispatcher',
    to: ['jobs'],
    attempts: 3,
    schema: z.strictObject({
      poll_id: Id,
      miner_id: Id,
      job_ids: z.array(Id).min(1).max(32),
    }),
  }),
  /** The index does not know what the miner of this poll can do: the poll is to be offered again with it. */
  'dispatch.capability_missing': defineMessage({
    version: 1,
    from: 'dispatcher',
    to: ['jobs'],
    attempts: 3,
    schema: z.strictObject({ poll_id: Id, kind: z.string().max(64) }),
  }),
} as const;
