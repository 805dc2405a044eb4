import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** What is sent, and where to. */
export interface Letter {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** For `deriveKey`. */
export const LOCK_PURPOSE = 'webhook calls';

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * A call on its way through Redis, which is to hold no result and no address: only a process with the deployment's key
 * reads it. @param key 32 bytes
 */
export const lock = (key: Buffer, text: string): string => {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, key, iv);
  const inside = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), inside]).toString('base64');
};

/** @throws when it was not locked with this key, or was changed */
export const unlock = (key: Buffer, locked: string): string => {
  const bytes = Buffer.from(locked, 'base64');
  const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
  return decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
};
