import { readFileSync } from 'node:fs';
import { ConfigError, commonConfig, serviceConfig } from '@aitbc/chassis';
import { z } from 'zod';

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

const serviceUrl = (port: number) => z.url({ protocol: /^https?$/ }).default(`http://127.0.0.1:${port}`);
const perMinute = (otherwise: number) => z.coerce.number().int().min(1).max(100_000_000).default(otherwise);

export const configShape = {
  ...commonConfig,
  DATABASE_URL: serviceConfig.DATABASE_URL,
  POSTGRES_URL: serviceConfig.POSTGRES_URL,
  API_HOST: z.string().default('0.0.0.0'),
  API_PORT: z.coerce.number().int().min(0).max(65_535).default(8000),
  /** Client and miner scope. */
  API_KEYS: keyList,
  CLIENT_API_KEYS: keyList,
  MINER_API_KEYS: keyList,
  ADMIN_API_KEYS: keyList,
  JOBS_URL: serviceUrl(8101),
  MINERS_URL: serviceUrl(8102),
  MARKET_URL: serviceUrl(8103),
  PAYMENTS_URL: serviceUrl(8104),
  GOVERNANCE_URL: serviceUrl(8105),
  /** Until token holders vote another value. */
  RATE_LIMIT_CLIENT_PER_MINUTE: perMinute(100),
  RATE_LIMIT_MINER_PER_MINUTE: perMinute(1_000),
  RATE_LIMIT_USER_PER_MINUTE: perMinute(60),
  /** Proxies in front, each of which appends to X-Forwarded-For. 0: the header is a caller's and not believed. */
  TRUST_PROXY: z.coerce.number().int().min(0).max(10).default(0),
  /** Open at once, of one address (of IPv6 one /56). 0: no bound, and none behind a proxy, which all come from. */
  CONNECTIONS_PER_ADDRESS: z.coerce.number().int().min(0).max(1_000_000).default(4_000),
  TLS_CERT: z.string().optional(),
  TLS_KEY: z.string().optional(),
  /** Opens /metrics in production, as a bearer token: for Prometheus on another host. */
  METRICS_TOKEN: z
    .string()
    .regex(/^[\x21-\x7e]{16,200}$/, 'must have 16 to 200 printable ASCII characters without spaces')
    .optional(),
  /** Where people reach this API. Wallets compare its host with the page they are on. */
  PUBLIC_URL: z.url({ protocol: /^https?$/ }).optional(),
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

/** @throws ConfigError when only one of the two is given, or a file cannot be read. */
export const readTls = (config: Pick<Config, 'TLS_CERT' | 'TLS_KEY'>) => {
  const { TLS_CERT, TLS_KEY } = config;
  if (TLS_CERT === undefined && TLS_KEY === undefined) return undefined;
  if (TLS_CERT === undefined || TLS_KEY === undefined) {
    throw new ConfigError('The configuration is not usable:\n  TLS_CERT, TLS_KEY: give both or none');
  }
  const read = (name: string, path: string) => {
    try {
      return readFileSync(path);
    } catch (error) {
      throw new ConfigError(`The configuration is not usable:\n  ${name}: ${(error as Error).message}`);
    }
  };
  return { cert: read('TLS_CERT', TLS_CERT), key: read('TLS_KEY', TLS_KEY) };
};
