import { z } from 'zod';
import { Id } from '../ids.ts';
import { defineMessage } from '../message.ts';

export const gatewayMessages = {
  /** An account exists (bootstrap key, first wallet login, operator). Payments opens its ledger address. */
  'gateway.account_created': defineMessage({
    version: 1,
    from: 'gateway',
    to: ['payments'],
    attempts: 10,
    schema: z.strictObject({ account_id: Id, wallet_address: z.string().nullable() }),
  }),
} as const;
