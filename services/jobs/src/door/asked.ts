import type { IncomingHttpHeaders } from 'node:http';
import {
  type Constraints,
  type DoorOptions,
  invalidField,
  MaxWaitSeconds,
  NOT_FOR_MINERS,
  Price,
  RunSeconds,
} from '@aitbc/contracts';
import type { z } from 'zod';

export type Kind = 'chat' | 'completion' | 'embedding';

/** What somebody asked for at the door. */
export interface Asked {
  readonly kind: Kind;
  /** The model as it was named, without a price behind it. */
  readonly model: string;
  /** For the miner's model server, with everything that is ours taken out. */
  readonly request: Readonly<Record<string, unknown>>;
  readonly constraints: Constraints;
  /** 0: nothing. */
  readonly price: number;
  readonly maxWaitSeconds: number;
  readonly timeoutSeconds: number;
  /** The caller said how long it may run. */
  readonly namesTimeout: boolean;
  readonly maxAttempts: number | undefined;
  readonly isStreamed: boolean;
  readonly includesUsage: boolean;
  readonly encoding: 'float' | 'base64';
}

type Body = Record<string, unknown> & {
  model: string;
  stream?: boolean | null | undefined;
  stream_options?: { include_usage?: boolean | null | undefined } | null | undefined;
  encoding_format?: 'float' | 'base64' | null | undefined;
  aitbc?: z.output<typeof DoorOptions> | undefined;
};

const MAX_WAIT_SECONDS = 60;
const TIMEOUT_SECONDS = 300;

const NUMBER = /^\d{1,8}(?:\.\d{1,8})?$/;
/** The last `@` with a price behind it is ours: `:` marks a tag. */
const WITH_PRICE = /^(.+)@(free|\d{1,8}(?:\.\d{1,8})?)$/s;

const ours: ReadonlySet<string> = new Set(['stream', 'stream_options', 'aitbc', 'model', ...NOT_FOR_MINERS]);

/** @throws Problem VALIDATION_ERROR that names the header */
const readNumber = (headers: IncomingHttpHeaders, name: string, schema: z.ZodType<number>) => {
  const text = headers[name.toLowerCase()];
  if (text === undefined) return undefined;
  const value = typeof text === 'string' && NUMBER.test(text.trim()) ? Number(text) : Number.NaN;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = Number.isNaN(value) ? 'must be a number in plain digits' : parsed.error.issues[0]?.message;
  throw invalidField(name, issue ?? 'is not accepted');
};

const readPrice = (headers: IncomingHttpHeaders): number | undefined =>
  headers['x-aitbc-price'] === 'free' ? 0 : readNumber(headers, 'X-AITBC-Price', Price);

const splitModel = (given: string): { model: string; price: number | undefined } => {
  const [, model, price] = WITH_PRICE.exec(given.trim()) ?? [];
  if (model === undefined || price === undefined) return { model: given.trim(), price: undefined };
  const parsed = Price.safeParse(price === 'free' ? 0 : Number(price));
  if (!parsed.success) throw invalidField('model', 'has a price behind it that is too large');
  return { model, price: parsed.data };
};

/**
 * Price, patience and place: a header goes before the body, the body before the model's name, that before the key's own.
 * @param defaultPrice what the key pays where nothing is named
 * @throws Problem VALIDATION_ERROR
 */
export const readAsked = (
  kind: Kind,
  body: Body,
  headers: IncomingHttpHeaders,
  defaultPrice: number,
): Asked => {
  const { aitbc = {} } = body;
  const named = splitModel(body.model);
  const timeout = readNumber(headers, 'X-AITBC-Timeout', RunSeconds) ?? aitbc.timeout_seconds;
  const request: Record<string, unknown> = { model: named.model };
  for (const [name, value] of Object.entries(body))
    if (!ours.has(name) && !(kind === 'embedding' && name === 'encoding_format')) request[name] = value;
  const { region, gpu_model, min_vram_gb, cuda_version_min, miner_id } = aitbc;
  const place = { region, gpu_model, min_vram_gb, cuda_version_min, miner_id };
  return {
    kind,
    model: named.model,
    request,
    constraints: Object.fromEntries(Object.entries(place).filter(([, value]) => value !== undefined)),
    price: readPrice(headers) ?? aitbc.price ?? named.price ?? defaultPrice,
    maxWaitSeconds:
      readNumber(headers, 'X-AITBC-Max-Wait', MaxWaitSeconds) ?? aitbc.max_wait_seconds ?? MAX_WAIT_SECONDS,
    timeoutSeconds: timeout ?? TIMEOUT_SECONDS,
    namesTimeout: timeout !== undefined,
    maxAttempts: aitbc.max_attempts,
    isStreamed: body.stream === true,
    includesUsage: body.stream_options?.include_usage === true,
    encoding: body.encoding_format ?? 'float',
  };
};
