import type { WebhookEvent } from '../contract.ts';
import { AitbcError } from '../errors.ts';
import { concat, utf8 } from './bytes.ts';

/** What came is not what the coordinator sent, or is too old: do nothing with it, and answer 400. */
export class WebhookVerificationError extends AitbcError {
  static readonly title: string = 'WebhookVerificationError';
}

/** Of a request: the `Headers` of fetch, or the `headers` of Node. */
export type WebhookHeaders = Headers | Record<string, string | readonly string[] | undefined>;

export interface WebhookOptions {
  /** How far the message's time may be from now, 300 s by default: what is older may have been sent again by somebody else. */
  readonly toleranceSeconds?: number;
  /** Instead of now; for tests. */
  readonly now?: Date;
}

const TOLERANCE_SECONDS = 300;
const PREFIX = 'whsec_';
/** An endpoint has two live secrets at most; more signatures than this are nobody's. */
const SIGNATURES_MAX = 16;

const refuse = (code: string, message: string): never => {
  throw new WebhookVerificationError({ code, message });
};

const fromBase64 = (text: string): Uint8Array<ArrayBuffer> | undefined => {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
};

const importSecret = (secret: string): ReturnType<typeof crypto.subtle.importKey> => {
  const bytes = fromBase64(secret.startsWith(PREFIX) ? secret.slice(PREFIX.length) : secret);
  if (bytes === undefined || bytes.length === 0)
    throw new TypeError('The secret of a webhook looks like whsec_ and base64 behind it.');
  return crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
};

const readHeader = (headers: WebhookHeaders, name: string): string => {
  const value =
    headers instanceof Headers
      ? headers.get(name)
      : Object.entries(headers).find(([given]) => given.toLowerCase() === name)?.[1];
  return typeof value === 'string' && value !== ''
    ? value
    : refuse('WEBHOOK_NOT_SIGNED', `There is no header ${name}.`);
};

/**
 * That a webhook came from the coordinator, whole and just now, without asking anyone (Standard Webhooks: HMAC-SHA-256 over
 * id, time and body). WebCrypto compares in a time that does not depend on where two signatures differ.
 * @param payload the body as it came, before anything parsed it: JSON that was written again may differ
 * @param secret of the endpoint; several while it is rotated
 * @returns the body, parsed. The same `webhook-id` may come more than once.
 * @throws WebhookVerificationError when it is not to be trusted
 */
export const verifyWebhook = async (
  payload: string | Uint8Array,
  headers: WebhookHeaders,
  secret: string | readonly string[],
  { toleranceSeconds = TOLERANCE_SECONDS, now = new Date() }: WebhookOptions = {},
): Promise<WebhookEvent> => {
  if (typeof payload !== 'string' && !(payload instanceof Uint8Array))
    throw new TypeError('The payload must be the body as it came: a string, or bytes; not an object.');
  const secrets = typeof secret === 'string' ? [secret] : secret;
  if (secrets.length === 0) throw new TypeError('There is no secret.');
  const id = readHeader(headers, 'webhook-id');
  const timestamp = readHeader(headers, 'webhook-timestamp');
  const given = readHeader(headers, 'webhook-signature').split(' ').slice(0, SIGNATURES_MAX);
  if (!/^\d{1,12}$/.test(timestamp)) refuse('WEBHOOK_TIME', 'webhook-timestamp is no time.');
  const off = Number(timestamp) - now.getTime() / 1_000;
  if (Math.abs(off) > toleranceSeconds)
    refuse('WEBHOOK_TIME', `The message is ${Math.round(Math.abs(off))} s ${off < 0 ? 'old' : 'ahead'}.`);
  const body = typeof payload === 'string' ? utf8(payload) : Uint8Array.from(payload);
  const message = concat(utf8(`${id}.${timestamp}.`), body);
  const signatures = given
    .filter((one) => one.startsWith('v1,'))
    .flatMap((one) => fromBase64(one.slice(3)) ?? []);
  for (const one of secrets) {
    const key = await importSecret(one);
    for (const signature of signatures)
      if (await crypto.subtle.verify('HMAC', key, signature, message)) return read(body) as WebhookEvent;
  }
  return refuse('WEBHOOK_SIGNATURE', 'No signature fits this body and this secret.');
};

const read = (body: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return refuse('WEBHOOK_BODY', 'The body is signed, and is no JSON.');
  }
};
