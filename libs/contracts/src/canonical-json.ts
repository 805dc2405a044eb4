import { createHash } from 'node:crypto';

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
