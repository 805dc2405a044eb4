// What the checks are made of. WebCrypto alone: the same in Node, browsers, Deno and Bun.

export type Bytes = Uint8Array<ArrayBuffer>;

export const utf8 = (text: string): Bytes => new TextEncoder().encode(text);

export const sha256 = async (bytes: Bytes): Promise<Bytes> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));

export const concat = (...parts: readonly Bytes[]): Bytes => {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

export const toHex = (bytes: Bytes): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Undefined when it is not 32 bytes in lower-case hex. */
export const hashFromHex = (hex: string): Bytes | undefined =>
  /^[0-9a-f]{64}$/.test(hex)
    ? Uint8Array.from({ length: 32 }, (_, at) => Number.parseInt(hex.slice(2 * at, 2 * at + 2), 16))
    : undefined;

export const toBase64url = (bytes: Bytes): string =>
  btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');

/** Undefined when it is not base64url in its one spelling: decoders skip what they do not know. */
export const fromBase64url = (text: string): Bytes | undefined => {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) return undefined;
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
  return toBase64url(bytes) === text ? bytes : undefined;
};

/** A public Ed25519 key, as the coordinator publishes it. */
export interface PublicKey {
  readonly kty: 'OKP';
  readonly crv: 'Ed25519';
  readonly x: string;
  readonly kid: string;
}

/** The name of a key, its RFC 7638 thumbprint: so a key cannot go by the name of another. */
export const keyId = async (x: string): Promise<string> =>
  toBase64url(await sha256(utf8(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`)));

/** The key that a signature names, if it is published under its true name. */
export const findKey = async (keys: readonly PublicKey[], kid: unknown): Promise<PublicKey | undefined> => {
  for (const key of keys) if (key.kid === kid && (await keyId(key.x)) === kid) return key;
  return undefined;
};

export const isSignedBy = async (key: PublicKey, signature: Bytes, message: Bytes): Promise<boolean> => {
  const { kty, crv, x } = key;
  const imported = await crypto.subtle.importKey('jwk', { kty, crv, x }, { name: 'Ed25519' }, false, [
    'verify',
  ]);
  return crypto.subtle.verify({ name: 'Ed25519' }, imported, signature, message);
};

/** JSON in the one form of RFC 8785; a lone surrogate, which the RFC refuses, is written as its escape. */
export const canonicalJson = (value: unknown): string => {
  if (value === null || typeof value !== 'object') return JSON.stringify(value ?? null);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`;
};

/** The hash in a receipt: SHA-256 over the bytes of the job's salt and then the canonical JSON, in hex. */
export const saltedHash = async (salt: string | null, value: unknown): Promise<string | undefined> => {
  const bytes = fromBase64url(salt ?? '');
  return bytes === undefined ? undefined : toHex(await sha256(concat(bytes, utf8(canonicalJson(value)))));
};
