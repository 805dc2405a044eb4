import { createHmac, randomBytes } from 'node:crypto';

const SECRET_PREFIX = 'whsec_';
/** 256 bits, the size of the hash. */
const SEED_BYTES = 32;

/** What a secret is made of. Alone it is worth nothing. */
export const newSeed = (): string => randomBytes(SEED_BYTES).toString('base64url');

/**
 * The secret of a seed, as the Standard Webhooks specification writes it (it wants 24 to 64 bytes). It is made again each
 * time by the deployment's key, so neither the rows nor a copy of them hold a secret.
 */
export const secretOf = (key: Buffer, seed: string): string =>
  SECRET_PREFIX + createHmac('sha256', key).update(seed).digest('base64');

const keyOf = (secret: string): Buffer => Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64');

/**
 * The headers by which a receiver knows that a body is ours, whole and new: Standard Webhooks, symmetric (`v1`).
 * @param message.id the same for every try of one delivery: who got it twice can tell
 * @param secrets all that are live. While one is rotated there are two, each with a signature of its own, so that a
 *   receiver may change over at any moment between.
 */
export const signWebhook = (
  message: { id: string; atMs: number; body: string },
  secrets: readonly string[],
): Record<string, string> => {
  const timestamp = String(Math.floor(message.atMs / 1_000));
  const signed = `${message.id}.${timestamp}.${message.body}`;
  return {
    'webhook-id': message.id,
    'webhook-timestamp': timestamp,
    'webhook-signature': secrets
      .map((secret) => `v1,${createHmac('sha256', keyOf(secret)).update(signed).digest('base64')}`)
      .join(' '),
  };
};
