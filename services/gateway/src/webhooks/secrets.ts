import type { Reader, Trx } from '@aitbc/chassis';
import { newSeed, secretOf } from './signature.ts';
import { findSeed, saveSeed } from './store.ts';

/**
 * The secrets by which deliveries are signed: one for each webhook, and one for all callbacks of an account, named by its id.
 * @param key from which, with a seed, each is made
 */
export const createSecrets = (key: Buffer) => ({
  /** The first, or the next: the one before it is good for a while more. */
  renew: async (
    trx: Trx,
    signerId: string,
    overlapMs: number,
    nowMs: number,
  ): Promise<{ secret: string; previousUntilMs: number | null }> => {
    const known = await findSeed(trx, signerId);
    const seed = newSeed();
    const hasPrevious = known !== undefined && overlapMs > 0;
    const previousUntilMs = hasPrevious ? nowMs + overlapMs : null;
    await saveSeed(trx, {
      signer_id: signerId,
      seed,
      previous_seed: hasPrevious ? known.seed : null,
      previous_until_ms: previousUntilMs,
    });
    return { secret: secretOf(key, seed), previousUntilMs };
  },
  /** One or two. None when nobody ever asked for one: then nobody can check a signature either. */
  live: async (read: Reader, signerId: string, nowMs: number): Promise<string[]> => {
    const known = await findSeed(read, signerId);
    if (known === undefined) return [];
    const { seed, previous_seed, previous_until_ms } = known;
    const isBothLive = previous_seed !== null && (previous_until_ms as number) > nowMs;
    return [seed, ...(isBothLive ? [previous_seed] : [])].map((one) => secretOf(key, one));
  },
});
export type Secrets = ReturnType<typeof createSecrets>;
