import { randomBytes } from 'node:crypto';
import { sendAs, type Trx } from '@aitbc/chassis';
import { invalidField, newId, notFound, Problem, type Scope } from '@aitbc/contracts';
import { writeOwn } from './audit.ts';
import {
  KEYS_PER_ACCOUNT_MAX,
  keyAct,
  keyOf,
  keyRefusal,
  overlapEndsAt,
  secretHash,
  sessionEndsAt,
  sessionTokenOf,
  shownPrefix,
} from './domain.ts';
import * as rows from './store.ts';
import type { ApiKeyTable, SessionTable } from './tables.ts';

const send = sendAs<'gateway'>();

export const createAccount = async (
  trx: Trx,
  wallet_address: string | null,
  nowMs: number,
): Promise<string> => {
  const id = newId();
  await rows.insertAccount(trx, { id, wallet_address, created_at_ms: nowMs });
  await send(trx, 'gateway.account_created', { account_id: id, wallet_address });
  return id;
};

/**
 * Makes the stored bootstrap keys those of the configuration: new ones get an account, missing ones are revoked, ones
 * that come back work again for the account they had. A key that an operator revoked stays revoked.
 * @returns how many of the configuration's keys are refused for that reason.
 */
export const syncBootstrapKeys = async (
  trx: Trx,
  keys: ReadonlyMap<string, Scope[]>,
  nowMs: number,
): Promise<number> => {
  const stored = new Map((await rows.listBootstrapKeys(trx)).map((row) => [row.key_sha256, row]));
  let refused = 0;
  for (const [key, scopeList] of keys) {
    const key_sha256 = secretHash(key);
    const scopes = JSON.stringify(scopeList);
    const row = stored.get(key_sha256);
    stored.delete(key_sha256);
    if (row === undefined) {
      const taken = await rows.findKeyByHash(trx, key_sha256);
      // Made through the API and then put into the configuration: it is that key, with that account.
      if (taken !== undefined) continue;
      const made: ApiKeyTable = {
        ...blankKey,
        id: newId(),
        account_id: await createAccount(trx, null, nowMs),
        key_sha256,
        prefix: shownPrefix(key),
        scopes,
        source: 'environment',
        created_at_ms: nowMs,
      };
      await rows.insertKey(trx, made);
      await writeOwn(trx, null, keyAct('key.created', made), nowMs);
      continue;
    }
    if (row.revoked_by === 'operator') {
      refused += 1;
      continue;
    }
    await rows.setBootstrapKey(trx, row.id, scopes, true);
    if (row.revoked_at_ms !== null || row.scopes !== scopes)
      await writeOwn(trx, null, keyAct('key.restored', { ...row, scopes }), nowMs);
  }
  for (const row of stored.values())
    if ((await rows.revokeKeyRow(trx, row.id, 'configuration', nowMs)) > 0)
      await writeOwn(trx, null, keyAct('key.revoked', row), nowMs);
  return refused;
};

const blankKey = {
  label: null,
  last_used_at_ms: null,
  expires_at_ms: null,
  revoked_at_ms: null,
  revoked_by: null,
  rate_limit_per_minute: null,
  spend_cap_minor: null,
  transfer_cap_minor: null,
  default_price_minor: null,
  replaces: null,
} satisfies Partial<ApiKeyTable>;

export interface KeyWish {
  account_id: string;
  scopes: readonly Scope[];
  label: string | null;
  expires_at_ms: number | null;
  spend_cap_minor: number | null;
  transfer_cap_minor: number | null;
  default_price_minor: number | null;
  rate_limit_per_minute: number | null;
  source: 'user' | 'admin';
  replaces: string | null;
}

export interface MadeKey {
  row: ApiKeyTable;
  /** The only time it is seen. */
  key: string;
}

export const createKey = async (
  trx: Trx,
  wish: KeyWish,
  environment: string,
  nowMs: number,
): Promise<MadeKey> => {
  if (
    wish.source === 'user' &&
    (await rows.countUsableKeys(trx, nowMs, wish.account_id)) >= KEYS_PER_ACCOUNT_MAX
  ) {
    throw new Problem(
      'KEY_LIMIT_REACHED',
      `An account has at most ${KEYS_PER_ACCOUNT_MAX} usable keys; revoke one first.`,
    );
  }
  if (wish.transfer_cap_minor !== null && !wish.scopes.includes('trade'))
    throw invalidField('daily_transfer_cap', 'is for a key with the scope trade');
  const key = keyOf(environment, randomBytes(32));
  const row: ApiKeyTable = {
    ...blankKey,
    ...wish,
    scopes: JSON.stringify([...wish.scopes].sort()),
    id: newId(),
    key_sha256: secretHash(key),
    prefix: shownPrefix(key),
    created_at_ms: nowMs,
  };
  await rows.insertKey(trx, row);
  return { row, key };
};

/** @param owner whose keys may be touched; null for an operator, who may touch any. */
const findOwnKey = async (trx: Trx, id: string, owner: string | null): Promise<ApiKeyTable> => {
  const row = await rows.findKey(trx, id);
  if (row === undefined || (owner !== null && row.account_id !== owner)) throw notFound('API key');
  return row;
};

/** A new key with the old one's powers; the old one ends after the overlap. */
export const rotateKey = async (
  trx: Trx,
  change: { id: string; owner: string | null; overlapSeconds: number },
  environment: string,
  nowMs: number,
): Promise<MadeKey & { old: ApiKeyTable }> => {
  const old = await findOwnKey(trx, change.id, change.owner);
  if (keyRefusal(old, nowMs) !== null) {
    throw new Problem('KEY_ALREADY_REVOKED', 'This key no longer works; make a new one.');
  }
  if (old.source === 'environment') {
    throw new Problem('FORBIDDEN', 'This key comes from the configuration; change it there.');
  }
  const made = await createKey(
    trx,
    {
      account_id: old.account_id,
      scopes: JSON.parse(old.scopes) as Scope[],
      label: old.label,
      expires_at_ms: old.expires_at_ms,
      spend_cap_minor: old.spend_cap_minor,
      transfer_cap_minor: old.transfer_cap_minor,
      default_price_minor: old.default_price_minor,
      rate_limit_per_minute: old.rate_limit_per_minute,
      source: old.source,
      replaces: old.id,
    },
    environment,
    nowMs,
  );
  await rows.setKeyExpiry(trx, old.id, overlapEndsAt(old, change.overlapSeconds, nowMs));
  return { ...made, old };
};

export const revokeKey = async (
  trx: Trx,
  id: string,
  owner: string | null,
  nowMs: number,
): Promise<ApiKeyTable> => {
  const row = await findOwnKey(trx, id, owner);
  const by = owner === null ? 'operator' : 'account';
  if ((await rows.revokeKeyRow(trx, id, by, nowMs)) === 0) {
    throw new Problem('KEY_ALREADY_REVOKED', 'This key is revoked already.');
  }
  return { ...row, revoked_at_ms: nowMs, revoked_by: by };
};

/**
 * Turns a checked signature into a session: uses up the nonce, makes the account of a new wallet, all or nothing.
 * @param longestMs how long the session lives, however much it is used
 * @returns null when the nonce was used or ran out meanwhile.
 */
export const openSession = async (
  trx: Trx,
  login: { nonce: string; wallet_address: string },
  nowMs: number,
  longestMs: number,
): Promise<{ token: string; account_id: string; expires_at_ms: number } | null> => {
  if ((await rows.useNonce(trx, login.nonce, nowMs)) !== 1) return null;
  const account_id =
    (await rows.findAccountByWallet(trx, login.wallet_address))?.id ??
    (await createAccount(trx, login.wallet_address, nowMs));
  const token = sessionTokenOf(randomBytes(32));
  const expires_at_ms = nowMs + longestMs;
  await rows.insertSession(trx, {
    id: newId(),
    account_id,
    token_sha256: secretHash(token),
    created_at_ms: nowMs,
    last_used_at_ms: nowMs,
    expires_at_ms,
  });
  return { token, account_id, expires_at_ms };
};

/** Ends those of the account's sessions that `which` names. @returns the rows that are gone. */
export const endSessions = async (
  trx: Trx,
  account_id: string,
  which: (session: SessionTable) => boolean,
  nowMs: number,
): Promise<SessionTable[]> => {
  const ended = (await rows.listSessions(trx, account_id)).filter(which);
  for (const session of ended) await rows.deleteSession(trx, session.id);
  return ended.filter((session) => sessionEndsAt(session) > nowMs);
};
