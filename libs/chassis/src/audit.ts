import { type AuditAct, type Caller, newId, type ServiceName } from '@aitbc/contracts';
import { clock } from './clock.ts';
import { sendAs } from './outbox/index.ts';
import type { Trx } from './store/index.ts';

/** Who did it: the caller; null when nobody called. */
export type Actor = Pick<Caller, 'account_id' | 'credential_id'> | null;
export type Done = Pick<AuditAct, 'action' | 'object' | 'details'> & { readonly account_id?: string | null };

export const auditAct = (actor: Actor, { account_id = null, ...done }: Done, atMs: number): AuditAct => ({
  id: newId(),
  ...done,
  actor: actor && { account_id: actor.account_id, credential_id: actor.credential_id },
  account_id,
  at_ms: atMs,
});

export type Audit = (trx: Trx, actor: Actor, done: Done) => Promise<void>;

/**
 * `const audit = auditAs('jobs')`: has an act written into the audit log, which the gateway keeps; in the transaction of the
 * act, so that there is never one without the other.
 */
export const auditAs = (service: Exclude<ServiceName, 'gateway'>): Audit => {
  const send = sendAs<typeof service>();
  return (trx, actor, done) => send(trx, `${service}.audited`, auditAct(actor, done, clock.nowMs()));
};
