import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { type Destination, SERVICES, WORKERS } from '@aitbc/contracts';
import { deriveKey } from './caller.ts';

/**
 * What travels through Redis in one queue entry: a batch as text, and who wrote it. Redis is a place that others may
 * write to; so nothing in it is believed, or even parsed, before its MAC was found to be right.
 */
export interface Envelope {
  readonly from: Destination;
  /** HMAC-SHA-256 over `text`, base64url. */
  readonly mac: string;
  readonly text: string;
}

const SENDERS: readonly string[] = [...SERVICES, ...WORKERS];
/** Far above any batch (256 KB, or one message): nobody makes us hash a book. */
const TEXT_LENGTH_MAX = 32 * 1024 * 1024;

/** Of a SHA-256 in base64url. */
const MAC_LENGTH = 43;

const isEqual = (given: unknown, expected: Buffer): boolean => {
  if (typeof given !== 'string') return false;
  const bytes = Buffer.from(given, 'base64url');
  return bytes.length === expected.length && timingSafeEqual(bytes, expected);
};

/**
 * Seals and opens what a deployment's processes leave for each other in Redis. There is one key for each pair of sender
 * and receiver, so what was said to one is worth nothing in another's mailbox; and the deployment's prefix is part of it,
 * so neither is what was said in another deployment.
 */
export const createEnvelopes = (options: { SECRET_KEY: string; REDIS_PREFIX: string }) => {
  const keys = new Map<string, KeyObject>();
  const keyFor = (purpose: string): KeyObject => {
    const known = keys.get(purpose);
    if (known !== undefined) return known;
    const key = createSecretKey(deriveKey(options.SECRET_KEY, `${options.REDIS_PREFIX} ${purpose}`));
    keys.set(purpose, key);
    return key;
  };
  const mac = (purpose: string, text: string): Buffer =>
    createHmac('sha256', keyFor(purpose)).update(text).digest();
  const pair = (from: Destination, to: Destination) => `message ${from} ${to}`;
  const position = (stream: string, watermark: number, highest: number) =>
    `${stream} ${watermark}:${highest}`;

  return {
    seal: (from: Destination, to: Destination, text: string): Envelope => ({
      from,
      mac: mac(pair(from, to), text).toString('base64url'),
      text,
    }),
    /** @returns null for anything that no sender of this deployment sealed for `to`. */
    open: (to: Destination, data: unknown): { from: Destination; text: string } | null => {
      const { from, mac: given, text } = (data ?? {}) as Record<string, unknown>;
      if (typeof from !== 'string' || !SENDERS.includes(from)) return null;
      if (typeof text !== 'string' || text.length > TEXT_LENGTH_MAX) return null;
      const sender = from as Destination;
      return isEqual(given, mac(pair(sender, to), text)) ? { from: sender, text } : null;
    },
    /** What `receiver` has heard of a stream, for its sender: by this it deletes messages, so it is sealed as well. */
    sealWatermark: (receiver: Destination, stream: string, watermark: number, highest: number): string =>
      `${watermark}:${highest}:${mac(`watermark ${receiver}`, position(stream, watermark, highest)).toString('base64url')}`,
    /** @returns null for what `receiver` did not write. */
    openWatermark: (
      receiver: Destination,
      stream: string,
      value: string,
    ): { watermark: number; highest: number } | null => {
      const match = /^(\d{1,15}):(\d{1,15}):([\w-]{43})$/.exec(value);
      if (match === null) return null;
      const [watermark, highest] = [Number(match[1]), Number(match[2])];
      return isEqual(match[3], mac(`watermark ${receiver}`, position(stream, watermark, highest)))
        ? { watermark, highest }
        : null;
    },
    /** A wake-up among the processes of `service`: by a key of its own, so that it is worth nothing in a mailbox. */
    sealTopics: (service: Destination, text: string): string =>
      `${mac(`topics ${service}`, text).toString('base64url')}${text}`,
    /** @returns null for what no process of `service` sealed. */
    openTopics: (service: Destination, sealed: string): string | null => {
      const text = sealed.slice(MAC_LENGTH);
      return isEqual(sealed.slice(0, MAC_LENGTH), mac(`topics ${service}`, text)) ? text : null;
    },
  };
};
export type Envelopes = ReturnType<typeof createEnvelopes>;
