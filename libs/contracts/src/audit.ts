import { z } from 'zod';
import { canonicalJson, sha256 } from './canonical-json.ts';
import { Id, Timestamp } from './ids.ts';
import { SERVICES } from './names.ts';

/** What is written down for ever: acts that change who may do what, make money, or take something away. */
export const AuditAction = z.enum([
  'key.created',
  'key.rotated',
  'key.revoked',
  'key.restored',
  'account.credited',
  'proposal.vetoed',
  'parameter.reset',
  'dead_letter.replayed',
  'dead_letter.dropped',
  'job.wiped',
]);
export type AuditAction = z.infer<typeof AuditAction>;

const DETAILS_MAX = 10;
/** Names of things, amounts, reasons: never a secret, a prompt or a result. */
const Details = z
  .record(z.string().max(64), z.union([z.string().max(1_000), z.number(), z.boolean(), z.null()]))
  .refine((details) => Object.keys(details).length <= DETAILS_MAX, `has more than ${DETAILS_MAX} fields`);

/** An act, as the service that carried it out tells of it. */
export const AuditAct = z.strictObject({
  /** Made with the act: told twice, it is written once. */
  id: Id,
  action: AuditAction,
  /** Null: nobody called; the configuration says so. */
  actor: z.strictObject({ account_id: Id, credential_id: Id.nullable() }).nullable(),
  /** What it was done to: a key, a proposal, a dead letter, the name of a parameter. */
  object: z.string().min(1).max(200),
  /** Whose that is. */
  account_id: Id.nullable(),
  details: Details,
  at_ms: z.number().int().nonnegative(),
});
export type AuditAct = z.infer<typeof AuditAct>;

const Hash = z.string().regex(/^[0-9a-f]{64}$/);

export const AuditEntry = z
  .strictObject({
    seq: z.number().int().min(1).meta({ description: 'Without a gap' }),
    id: Id,
    at: Timestamp,
    service: z.enum(SERVICES).meta({ description: 'Where it was done' }),
    action: AuditAction,
    actor_id: Id.nullable().meta({ description: 'The account that did it; null: the configuration' }),
    credential_id: Id.nullable().meta({ description: 'With which key or session' }),
    object: z.string().meta({ description: 'What it was done to' }),
    account_id: Id.nullable().meta({ description: 'Whose that is' }),
    details: Details,
    prev_hash: Hash.meta({ description: 'The `hash` of the entry before; of the first: 64 zeros' }),
    hash: Hash.meta({
      description: 'SHA-256 of the canonical JSON (RFC 8785) of all other fields of this entry',
    }),
  })
  .meta({ id: 'AuditEntry' });
export type AuditEntry = z.infer<typeof AuditEntry>;

/** What stands before the first entry. */
export const AUDIT_START = '0'.repeat(64);

export const auditHash = ({ hash: _hash, ...entry }: Omit<AuditEntry, 'hash'> & { hash?: string }): string =>
  sha256(canonicalJson(entry));

/**
 * Checks a log from its newest entry backwards, one after the other.
 * @returns what is wrong with an entry; null when nothing is. `isWhole` once the first one was seen.
 */
export const createAuditChecker = () => {
  let newer: AuditEntry | undefined;
  return {
    check: (entry: AuditEntry): string | null => {
      const next = newer;
      newer = entry;
      if (next !== undefined && entry.seq !== next.seq - 1) return `${next.seq - 1} is missing`;
      if (auditHash(entry) !== entry.hash) return 'its hash is not that of its fields';
      if (next !== undefined && entry.hash !== next.prev_hash)
        return `${next.seq} names another one before it`;
      if (entry.seq === 1 && entry.prev_hash !== AUDIT_START) return 'it is not the first';
      return null;
    },
    isWhole: (): boolean => newer === undefined || newer.seq === 1,
  };
};
