import { connectRedis, type Log, type Store, type Trx } from '@aitbc/chassis';
import { type Caller, Problem, type Scope } from '@aitbc/contracts';
import { hasGoodChecksum, keyRefusal, secretHash, sessionEndsAt } from './domain.ts';
import * as rows from './store.ts';

/** What is revoked elsewhere works here for so long at most, if the broadcast is lost. */
const CACHED_MS = 4_000;
const CACHE_MAX = 50_000;
/** Longer than any key or token, so that nobody makes us hash a book. */
const SECRET_LENGTH_MAX = 256;

/** A credential that was found good. */
export interface Identity {
  readonly caller: Caller;
  /** A limit of its own, apart from its account's. */
  readonly rateLimit: number | null;
}

interface Cached {
  /** The row whose last use is noted. */
  readonly id: string;
  readonly identity: Identity;
  readonly isKey: boolean;
  /** From then on it must be looked up again. */
  readonly until: number;
}

export type Credential = { readonly kind: 'key' | 'session'; readonly secret: string };

/** Finds out who a credential stands for; remembers for a moment, forgets at once what was revoked anywhere. */
export const createCredentials = (options: {
  store: Store;
  redisUrl: string;
  redisPrefix: string;
  log: Log;
}) => {
  const { store, log } = options;
  const revokedChannel = `${options.redisPrefix}:gateway:revoked`;
  const cache = new Map<string, Cached>();
  /** When each was last used, on its way to the file. */
  const used = new Map<string, { isKey: boolean; atMs: number }>();

  const publisher = connectRedis(options.redisUrl, log);
  const subscriber = connectRedis(options.redisUrl, log, {
    enableOfflineQueue: true,
    maxRetriesPerRequest: null,
  });
  subscriber.on('message', (_channel, hash: string) => cache.delete(hash));
  // Also after a reconnect, which does it again by itself. What was missed meanwhile, the short cache time covers.
  subscriber.subscribe(revokedChannel).catch((error) => log.debug({ err: error }, 'subscribe'));

  const forget = (hash: string): void => {
    cache.delete(hash);
    publisher
      .publish(revokedChannel, hash)
      .catch((error) => log.warn({ err: error.message }, 'revocation could not be broadcast'));
  };

  const lookUpKey = async (secret: string, hash: string, nowMs: number): Promise<Cached> => {
    const row = await rows.findKeyByHash(store.read, hash);
    if (row === undefined) {
      throw unauthenticated(
        hasGoodChecksum(secret) ? 'This API key is not known.' : 'This API key is mistyped.',
      );
    }
    const refusal = keyRefusal(row, nowMs);
    if (refusal !== null) throw unauthenticated(`This API key is ${refusal}.`);
    return {
      id: row.id,
      isKey: true,
      until: Math.min(nowMs + CACHED_MS, row.expires_at_ms ?? Number.POSITIVE_INFINITY),
      identity: {
        rateLimit: row.rate_limit_per_minute,
        caller: {
          account_id: row.account_id,
          // What was spent and asked with the keys before it counts on: a rotation is no new cap and no new limit.
          credential_id: await rows.firstKeyOf(store.read, row),
          scopes: JSON.parse(row.scopes) as Scope[],
          wallet_address: row.wallet_address,
          spend_cap_minor: row.spend_cap_minor,
          // Left out where there is none: services of the release before know no such field.
          ...(row.transfer_cap_minor === null ? {} : { transfer_cap_minor: row.transfer_cap_minor }),
          ...(row.default_price_minor === null ? {} : { default_price_minor: row.default_price_minor }),
        },
      },
    };
  };

  const lookUpSession = async (hash: string, nowMs: number): Promise<Cached> => {
    const row = await rows.findSessionByHash(store.read, hash);
    if (row === undefined) throw unauthenticated('This session is not known; sign in again.');
    // Uses of the last seconds may not have reached the file yet.
    const last_used_at_ms = Math.max(row.last_used_at_ms, used.get(row.id)?.atMs ?? 0);
    if (sessionEndsAt({ ...row, last_used_at_ms }) <= nowMs) {
      throw unauthenticated('This session is over; sign in again.');
    }
    return {
      id: row.id,
      isKey: false,
      until: Math.min(nowMs + CACHED_MS, row.expires_at_ms),
      identity: {
        rateLimit: null,
        caller: {
          account_id: row.account_id,
          credential_id: row.id,
          scopes: ['user'],
          wallet_address: row.wallet_address,
          spend_cap_minor: null,
        },
      },
    };
  };

  return {
    /** @throws Problem UNAUTHENTICATED, saying why: the holder of a secret may know its state. */
    identify: async ({ kind, secret }: Credential, nowMs: number): Promise<Identity> => {
      if (secret.length > SECRET_LENGTH_MAX) throw unauthenticated('This credential is not known.');
      const hash = secretHash(secret);
      let found = cache.get(hash);
      if (found === undefined || found.until <= nowMs || found.isKey !== (kind === 'key')) {
        cache.delete(hash);
        found = kind === 'key' ? await lookUpKey(secret, hash, nowMs) : await lookUpSession(hash, nowMs);
        if (cache.size >= CACHE_MAX) cache.delete(cache.keys().next().value as string);
        cache.set(hash, found);
      }
      const { id } = found;
      const use = used.get(id);
      if (use === undefined) used.set(id, { isKey: found.isKey, atMs: nowMs });
      else use.atMs = nowMs;
      return found.identity;
    },
    /** Makes every gateway forget these credentials once the change that ended them is on disk. */
    forgetAfter: (trx: Trx, hashes: readonly string[]): void => {
      trx.afterCommit(() => {
        for (const hash of hashes) forget(hash);
      });
    },
    /** Writes the times of last use. */
    saveUses: async (): Promise<void> => {
      if (used.size === 0) return;
      const uses = [...used];
      await store.transact('credentials.save_uses', async (trx) => {
        for (const [id, { isKey, atMs }] of uses) {
          if (isKey) await rows.markKeyUsed(trx, id, atMs);
          else await rows.markSessionUsed(trx, id, atMs);
        }
      });
      for (const [id, { atMs }] of uses) if (used.get(id)?.atMs === atMs) used.delete(id);
    },
    stop: (): void => {
      publisher.disconnect();
      subscriber.disconnect();
    },
  };
};
export type Credentials = ReturnType<typeof createCredentials>;

const unauthenticated = (message: string): Problem => new Problem('UNAUTHENTICATED', message);
