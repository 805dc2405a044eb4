import { AuditAct } from '../audit.ts';
import { defineMessage } from '../message.ts';
import type { ServiceName } from '../names.ts';

/** Something that is kept for ever of what was done, from the service where it was done, in the transaction of the act. */
const audited = <F extends ServiceName>(from: F) =>
  defineMessage({
    version: 1,
    from,
    to: ['gateway'],
    // Nothing of it may be lost: it goes on for days, and an operator is told.
    attempts: 20,
    lingers: () => true,
    schema: AuditAct,
  });

export const auditMessages = {
  'jobs.audited': audited('jobs'),
  'miners.audited': audited('miners'),
  'market.audited': audited('market'),
  'payments.audited': audited('payments'),
  'governance.audited': audited('governance'),
} as const;
