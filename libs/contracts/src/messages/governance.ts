import { z } from 'zod';
import { Id } from '../ids.ts';
import { defineMessage } from '../message.ts';
import { Minor } from '../money.ts';
import { PARAMETER_NAMES } from '../parameters.ts';

export const governanceMessages = {
  /** A vote changed a parameter, or an operator reset it. The owner obeys it; the others ignore it. An older version is ignored. */
  'governance.parameter_changed': defineMessage({
    version: 2,
    from: 'governance',
    to: ['gateway', 'jobs', 'miners', 'payments'],
    attempts: 10,
    schema: z.strictObject({
      name: z.enum(PARAMETER_NAMES),
      /** Checked against the parameter's own schema when applied. */
      value: z.unknown(),
      version: z.number().int().min(1),
      /** Null: no vote but an operator, who reset it. */
      proposal_id: Id.nullable(),
    }),
  }),
  /**
   * Blocks from this height on are missing, though later ones were heard of: a file came back from an older copy.
   * Payments tells of some of them again; governance asks again from where that leads.
   */
  'governance.blocks_missed': defineMessage({
    version: 1,
    from: 'governance',
    to: ['payments'],
    attempts: 10,
    schema: z.strictObject({ from_height: z.number().int().min(0) }),
  }),
  /** Pay this out of the treasury; the proposal id makes it happen once. */
  'governance.allocation_approved': defineMessage({
    version: 1,
    from: 'governance',
    to: ['payments'],
    attempts: 10,
    schema: z.strictObject({ proposal_id: Id, recipient_account_id: Id, amount_minor: Minor.min(1) }),
  }),
} as const;
