import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { AuditAction, Scope } from '@aitbc/contracts';
import type { ApiKeyTable, SessionTable } from './tables.ts';

/** A session unused for so long is over. */
export const SESSION_IDLE_MS = 24 * 3_600_000;
/** Usable keys of one account: enough for a fleet, and a bound on what one login can fill the table with. */
export const KEYS_PER_ACCOUNT_MAX = 100;

const KEY_PREFIX_SHOWN = 12;
const CHECKSUM_LENGTH = 6;

/** The one form in which a secret is kept. High-entropy input: no salt, no slow hash needed. */
export const secretHash = (secret: string): string => hash('sha256', secret, 'base64url');

const checksum = (text: string): string =>
  Buffer.from(crc32(text).toString(16).padStart(8, '0'), 'hex')
    .toString('base64url')
    .slice(0, CHECKSUM_LENGTH);

/** What a key of this deployment begins with, so that a leaked one says where it belongs. */
export const keyEnvironment = (nodeEnv: string): string =>
  nodeEnv === 'production' ? 'live' : nodeEnv === 'test' ? 'test' : 'dev';

/**
 * `ak_<environment>_<43 base64url characters><6 of checksum>`: 256 random bits; the checksum lets a scanner tell a
 * real key from a look-alike without asking.
 */
export const keyOf = (environment: string, random: Buffer): string => {
  const body = `ak_${environment}_${random.toString('base64url')}`;
  return body + checksum(body);
};

/** False for text in the form of our keys whose checksum does not fit: mistyped or made up. */
export const hasGoodChecksum = (key: string): boolean => {
  if (!/^ak_[a-z]+_[\w-]{49}$/.test(key)) return true;
  const body = key.slice(0, -CHECKSUM_LENGTH);
  return checksum(body) === key.slice(-CHECKSUM_LENGTH);
};

export const sessionTokenOf = (random: Buffer): string => `st_${random.toString('base64url')}`;

/** Enough to recognise a key in a list; of a made one that is `ak_live_` and four characters. */
export const shownPrefix = (key: string): string =>
  key.slice(0, Math.min(KEY_PREFIX_SHOWN, Math.floor(key.length / 4)));

export type Refusal = 'unknown' | 'revoked' | 'expired';

export const keyRefusal = (
  key: Pick<ApiKeyTable, 'revoked_at_ms' | 'expires_at_ms'>,
  nowMs: number,
): Refusal | null => {
  if (key.revoked_at_ms !== null) return 'revoked';
  if (key.expires_at_ms !== null && key.expires_at_ms <= nowMs) return 'expired';
  return null;
};

/** When a session ends if it is not used again. */
export const sessionEndsAt = (session: Pick<SessionTable, 'last_used_at_ms' | 'expires_at_ms'>): number =>
  Math.min(session.expires_at_ms, session.last_used_at_ms + SESSION_IDLE_MS);

/** When a key that is being replaced stops working: never later than it would have. */
export const overlapEndsAt = (
  key: Pick<ApiKeyTable, 'expires_at_ms'>,
  overlapSeconds: number,
  nowMs: number,
): number => Math.min(key.expires_at_ms ?? Number.MAX_SAFE_INTEGER, nowMs + overlapSeconds * 1_000);

export const SCOPES_OF_LIST = {
  API_KEYS: ['client', 'miner'],
  CLIENT_API_KEYS: ['client'],
  MINER_API_KEYS: ['miner'],
  ADMIN_API_KEYS: ['admin'],
} as const satisfies Record<string, readonly Scope[]>;

/** The keys of the configuration with their scopes; one that stands in several lists has the scopes of all. */
export const bootstrapKeys = (
  lists: Record<keyof typeof SCOPES_OF_LIST, readonly string[]>,
): Map<string, Scope[]> => {
  const keys = new Map<string, Scope[]>();
  for (const [list, scopes] of Object.entries(SCOPES_OF_LIST)) {
    for (const key of lists[list as keyof typeof SCOPES_OF_LIST]) {
      keys.set(key, [...new Set([...(keys.get(key) ?? []), ...scopes])].sort());
    }
  }
  return keys;
};

/** What the audit log keeps of an act on a key: nothing of the key itself. */
export const keyAct = (
  action: Extract<AuditAction, `key.${string}`>,
  row: Pick<ApiKeyTable, 'id' | 'account_id' | 'scopes' | 'source' | 'replaces'>,
) => ({
  action,
  object: row.id,
  account_id: row.account_id,
  details: {
    scopes: (JSON.parse(row.scopes) as Scope[]).join(' '),
    source: row.source,
    replaces: row.replaces,
  },
});
