import { createHash, randomBytes } from 'node:crypto';

/**
 * JSON in the one form of RFC 8785 (JCS): no white space, names sorted by UTF-16 code units, numbers and strings as
 * ECMAScript writes them. So anyone can hash a result they hold and compare. One deviation: a lone surrogate, which
 * the RFC refuses, is written as its \uXXXX escape.
 * @param value what JSON.parse could have given; undefined members are left out.
 */
export const canonicalJson = (value: unknown): string => {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) {
    let text = '[';
    for (let index = 0; index < value.length; index++)
      text += (index === 0 ? '' : ',') + canonicalJson(value[index] ?? null);
    return `${text}]`;
  }
  let text = '{';
  for (const name of Object.keys(value).sort()) {
    const member = (value as Record<string, unknown>)[name];
    if (member === undefined) continue;
    text += `${text.length === 1 ? '' : ','}${JSON.stringify(name)}:${canonicalJson(member)}`;
  }
  return `${text}}`;
};

/** Lower-case hex, as `sha256sum` prints it. */
export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** 256 random bits, base64url: 43 characters. One for each job. */
export const newSalt = (): string => randomBytes(32).toString('base64url');

/**
 * The hashes in a receipt: SHA-256 over the bytes of the job's salt followed by the canonical JSON as UTF-8, in
 * lower-case hex. They are public; whoever lacks the salt cannot try short texts against them.
 * @param salt as the Job and its receipt show it; null for a job older than salts, hashed without.
 */
export const saltedSha256 = (salt: string | null, canonicalText: string): string =>
  createHash('sha256')
    .update(Buffer.from(salt ?? '', 'base64url'))
    .update(canonicalText)
    .digest('hex');
