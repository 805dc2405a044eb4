import { resolve } from 'node:path';
import { commonConfig, KeepDays, keptConfig, serviceConfig } from '@aitbc/chassis';
import { z } from 'zod';
import { callsAtOnce } from './webhooks/worker/config.ts';

const KEY_LENGTH_MIN = 16;
const KEY_LENGTH_MAX = 200;

/** A comma list of keys. The messages never repeat a key. */
const keyList = z
  .string()
  .default('')
  .transform((text) => [...new Set(text.split(',').map((key) => key.trim()))].filter((key) => key !== ''))
  .refine(
    (keys) =>
      keys.every(
        (key) => key.length >= KEY_LENGTH_MIN && key.length <= KEY_LENGTH_MAX && /^[\x21-\x7e]+$/.test(key),
      ),
    `every key must have ${KEY_LENGTH_MIN} to ${KEY_LENGTH_MAX} printable ASCII characters without spaces`,
  );

/** More processes of one service than this are another design. */
const ADDRESSES_MAX = 100;
/** A comma list: one address for each process of the service. */
const serviceUrls = (port: number) =>
  z
    .string()
    .default(`http://127.0.0.1:${port}`)
    .transform((text) => [...new Set(text.split(',').map((url) => url.trim()))].filter((url) => url !== ''))
    .pipe(
      z
        .array(z.url({ protocol: /^https?$/ }))
        .min(1, 'needs an address')
        .max(ADDRESSES_MAX),
    );
const perMinute = (otherwise: number) => z.coerce.number().int().min(1).max(100_000_000).default(otherwise);

export const configShape = {
  ...commonConfig,
  ...keptConfig,
  /** A session ends so long after it was opened, however much it is used; unused, after a day. */
  KEEP_SESSIONS_DAYS: KeepDays.default(7),
  /** What a wallet is to sign has to be signed within so long. */
  KEEP_CHALLENGES_MINUTES: z.coerce.number().positive().max(60).default(5),
  /** Deliveries of webhooks that are over, of each webhook the last 1,000. */
  KEEP_DELIVERIES_DAYS: KeepDays.default(7),
  DATABASE_URL: serviceConfig.DATABASE_URL,
  POSTGRES_URL: serviceConfig.POSTGRES_URL,
  API_HOST: z.string().default('0.0.0.0'),
  API_PORT: z.coerce.number().int().min(0).max(65_535).default(8000),
  /** Client and miner scope. */
  API_KEYS: keyList,
  CLIENT_API_KEYS: keyList,
  MINER_API_KEYS: keyList,
  ADMIN_API_KEYS: keyList,
  JOBS_URL: serviceUrls(8101),
  MINERS_URL: serviceUrls(8102),
  MARKET_URL: serviceUrls(8103),
  PAYMENTS_URL: serviceUrls(8104),
  GOVERNANCE_URL: serviceUrls(8105),
  /** Until token holders vote another value. */
  RATE_LIMIT_CLIENT_PER_MINUTE: perMinute(100),
  RATE_LIMIT_MINER_PER_MINUTE: perMinute(1_000),
  RATE_LIMIT_USER_PER_MINUTE: perMinute(60),
  /** POST /v1/miner/stream: 20 a second for each of 64 jobs that stream at once. */
  RATE_LIMIT_STREAM_PER_MINUTE: perMinute(80_000),
  /** Proxies in front, each of which appends to X-Forwarded-For. 0: the header is a caller's and not believed. */
  TRUST_PROXY: z.coerce.number().int().min(0).max(10).default(0),
  /** Open at once, of one address (of IPv6 one /56). 0: no bound, and none behind a proxy, which all come from. */
  CONNECTIONS_PER_ADDRESS: z.coerce.number().int().min(0).max(1_000_000).default(4_000),
  /**
   * An answer of the OpenAI routes that is not streamed says nothing until it is whole: the longest wait and run that can
   * be asked for, 600 and 1,800 s, and a minute. Streams say something every 10 s.
   */
  DOOR_SILENCE_SECONDS: z.coerce.number().int().min(1).max(86_400).default(2_460),
  /** Calls of webhooks at once, over all; a worker has no more in hand either. */
  WEBHOOK_CALLS_AT_ONCE: callsAtOnce,
  TLS_CERT: serviceConfig.TLS_CERT,
  TLS_KEY: serviceConfig.TLS_KEY,
  /** PEM files for services at https:// addresses: the CA of their certificates, and what they ask the gateway for. */
  SERVICES_CA: z.string().optional(),
  SERVICES_CERT: z.string().optional(),
  SERVICES_KEY: z.string().optional(),
  /** Opens /metrics in production, as a bearer token: for Prometheus on another host. */
  METRICS_TOKEN: z
    .string()
    .regex(/^[\x21-\x7e]{16,200}$/, 'must have 16 to 200 printable ASCII characters without spaces')
    .optional(),
  /** Where people reach this API. Wallets compare its host with the page they are on. */
  PUBLIC_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** Where the console was built to. Nothing there: no page at `/`. */
  CONSOLE_DIR: z.string().default(resolve(import.meta.dirname, '../../../clients/console/dist')),
  /** Pages of other origins that may call: a comma list, or * (credentials are headers, never cookies). */
  CORS_ORIGINS: z
    .string()
    .default('*')
    .transform((text) => text.split(',').map((origin) => origin.trim())),
};

type Environment = z.output<z.ZodObject<typeof configShape>>;
export type Config = Environment;

/** What the chassis calls a service's address. */
export const withAddress = (config: Config) => ({ ...config, HOST: config.API_HOST, PORT: config.API_PORT });
