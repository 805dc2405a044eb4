import { z } from 'zod';
import { defineRoute } from '../route.ts';

export const ExportLine = z
  .strictObject({
    type: z.enum([
      'account',
      'api_key',
      'job',
      'receipt',
      'transaction',
      'exchange_payment',
      'order',
      'miner',
      'vote',
      'webhook',
      'end',
      'error',
    ]),
    data: z.unknown(),
  })
  .meta({ id: 'ExportLine' });
export type ExportLine = z.infer<typeof ExportLine>;

export const exportRoutes = {
  export: defineRoute({
    service: 'gateway',
    tag: 'Users',
    who: ['user', 'client'],
    rate: 'user',
    name: 'gateway.export',
    method: 'GET',
    path: '/v1/users/me/export',
    summary: 'All that is the account’s, as lines of JSON',
    description:
      'One object a line, `{type, data}`, as the lists of each kind show it: the account, keys without secrets, jobs with parameters and results, receipts (whose result stands in the job), transactions, payments of the exchange, bookings, miners, votes, webhooks. What the credential may not read is left out: a user session reads all but miners, which take a key with that scope. The last line is `end` with the counts and what was left out; a text without it broke off, and `error` says why. What is made meanwhile may be missing. One at a time for an account.',
    lines: true,
    responses: { 200: ExportLine },
    errors: ['EXPORT_RUNNING', 'OVERLOADED'],
  }),
} as const;
