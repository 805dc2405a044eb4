import { AuditAction, AuditEntry } from '../audit.ts';
import { Id } from '../ids.ts';
import { Page, PageQuery } from '../page.ts';
import { defineRoute } from '../route.ts';

export const auditRoutes = {
  audit: defineRoute({
    service: 'gateway',
    tag: 'Admin',
    who: ['admin'],
    rate: 'client',
    name: 'gateway.admin_audit',
    method: 'GET',
    path: '/v1/admin/audit',
    summary: 'What was done with keys, money, votes, parameters, messages and contents',
    description:
      'Nothing in it is ever changed or taken out. Each entry has the hash of the one before: whoever kept the newest `hash` notices any change before it. `npm run verify` checks the whole. An act of another service appears moments after it.',
    query: PageQuery.extend({
      action: AuditAction.optional(),
      account_id: Id.optional().meta({ description: 'Done to what is this account’s' }),
      actor_id: Id.optional().meta({ description: 'Done by this account' }),
    }),
    responses: { 200: Page(AuditEntry) },
  }),
} as const;
