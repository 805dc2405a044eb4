import { z } from 'zod';
import { DEFAULT_PACE } from './body-pace.ts';
import { objectsProblem } from './objects/address.ts';
import { parseRedisUrl } from './redis/index.ts';
import { schemaUrl } from './store/postgres/address.ts';

/** What a service cannot start without is missing or wrong; `main` prints it and ends with code 2. */
export class ConfigError extends Error {}

/** How the secrets of a stack without a .env begin (docker-compose.yml): known to everybody, refused in production. */
export const DEVELOPMENT_SECRET = 'development-only';

/** How the API keys of that stack end, and how those begin that `npm start` and development itself make. */
const KNOWN_KEY = /known_to_everybody|(?:^|,)\s*ak_dev_/i;
/** What stands in examples for a key that is to be made. An address may hold it: exchangemerchant.example. */
const PLACEHOLDER = /(?:^|[^a-z])change[-_ ]?me/i;
const ADDRESS = /^[a-z]+:\/\//i;

const isKnownToEverybody = (value: string): boolean =>
  value.toLowerCase().includes(DEVELOPMENT_SECRET) ||
  KNOWN_KEY.test(value) ||
  (PLACEHOLDER.test(value) && !ADDRESS.test(value));

/** One server, Sentinels or a cluster; what is wrong with it is said without the password in it. */
const RedisUrl = z.string().superRefine((url, context) => {
  try {
    parseRedisUrl(url);
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
  }
});

/** A server for all services, each with a schema of its own there. */
const PostgresUrl = z.string().superRefine((url, context) => {
  try {
    schemaUrl(url, 'service');
  } catch (error) {
    context.addIssue({ code: 'custom', message: (error as Error).message });
  }
});

/** Settings that every process of the stack reads. */
export const commonConfig = {
  NODE_ENV: z.enum(['development', 'test', 'production']).default('development'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** The routes of the original coordinator, for programs that were written for it. */
  LEGACY_ROUTES: z.enum(['on', 'off']).default('on'),
  REDIS_URL: RedisUrl.default('redis://127.0.0.1:6379'),
  REDIS_PREFIX: z
    .string()
    .regex(/^[a-z0-9][a-z0-9_-]{0,39}$/, 'must be 1 to 40 of a-z, 0-9, _ and -')
    .default('aitbc')
    .meta({ description: 'Begins every key in Redis: deployments that share one must differ in it' }),
  SECRET_KEY: z
    .string()
    .min(32, 'must have at least 32 characters; make one with: openssl rand -base64 48')
    .meta({
      description: 'Shared by the gateway and the services: signs the caller header, messages and leases',
    }),
  /** So long may nothing come of a body that is being sent, and so much has to come of it on average. */
  BODY_SILENCE_SECONDS: z.coerce.number().min(0.1).max(600).default(DEFAULT_PACE.silenceSeconds),
  BODY_LEAST_BYTES_PER_SECOND: z.coerce.number().int().min(1).default(DEFAULT_PACE.leastBytesPerSecond),
  /** Development only: voting days, timelocks and booking hours run this many times faster. */
  BUSINESS_TIME_SCALE: z.coerce.number().positive().max(1_000_000).default(1),
};

/** PEM files: with the first two a process speaks HTTPS alone. */
const tlsConfig = {
  TLS_CERT: z.string().optional(),
  TLS_KEY: z.string().optional(),
};

/** How long something is kept; parts of a day are for trying it out. A hundred years are for ever. */
export const KeepDays = z.coerce.number().positive().max(36_500);
/** For services that know of jobs. */
export const KeepJobsDays = KeepDays.default(180);
export const DAY_MS = 86_400_000;

/** What every file keeps for a time. */
export const keptConfig = {
  /** The answers to requests with an Idempotency-Key. */
  KEEP_IDEMPOTENCY_KEYS_DAYS: KeepDays.default(1),
  /** Messages that were given up, counted from their first failure. */
  KEEP_DEAD_LETTERS_DAYS: KeepDays.default(90),
};

/** Settings of a service with a file and a port of its own. */
export const serviceConfig = {
  ...commonConfig,
  ...tlsConfig,
  ...keptConfig,
  /** Whose client certificates a caller has to show: that of the gateway, and of who reads metrics. */
  TLS_CLIENT_CA: z.string().optional(),
  HOST: z.string().default('127.0.0.1'),
  PORT: z.coerce.number().int().min(0).max(65_535),
  /** Where this service keeps its rows. Without it, in its schema at POSTGRES_URL. */
  DATABASE_URL: z
    .string()
    .regex(
      /^(sqlite:\/\/\/|postgres(ql)?:\/\/[^/]+\/[^/]).*/,
      'must look like sqlite:///relative.db, sqlite:////absolute.db or postgres://user:password@host:5432/database',
    )
    .optional(),
  POSTGRES_URL: PostgresUrl.optional(),
};

/** A folder or a bucket. */
export const ObjectsUrl = z.string().superRefine((url, context) => {
  const problem = objectsProblem(url);
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
});

const passwordOf = (name: string, url: string): string => {
  try {
    return (name === 'REDIS_URL' ? parseRedisUrl(url).password : new URL(url).password) ?? '';
  } catch {
    return '';
  }
};

/** Where `service` keeps its rows, by what `loadConfig` let through. */
export const databaseUrl = (
  config: { DATABASE_URL?: string | undefined; POSTGRES_URL?: string | undefined },
  service: string,
): string => config.DATABASE_URL ?? schemaUrl(config.POSTGRES_URL as string, service);

/**
 * Reads the environment through one schema.
 * @throws ConfigError naming every problem at once.
 */
export const loadConfig = <S extends z.ZodRawShape>(
  shape: S,
  env: Record<string, string | undefined>,
): z.output<z.ZodObject<S>> => {
  const given = Object.fromEntries(
    Object.entries(env).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = z.object(shape).safeParse(given);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
  if ('DATABASE_URL' in shape && given.DATABASE_URL === undefined && given.POSTGRES_URL === undefined) {
    problems.push(
      '  DATABASE_URL: is missing, and POSTGRES_URL too: one of them must say where rows are kept',
    );
  }
  if (
    given.NODE_ENV === 'production' &&
    given.BUSINESS_TIME_SCALE !== undefined &&
    given.BUSINESS_TIME_SCALE !== '1'
  ) {
    problems.push('  BUSINESS_TIME_SCALE: is for development only');
  }
  if (given.NODE_ENV === 'production') {
    const known = Object.keys(shape).filter((name) => isKnownToEverybody(given[name] ?? ''));
    for (const name of known) {
      problems.push(
        `  ${name}: holds a key or secret of a development stack, which everybody knows; make one with: openssl rand -base64 48`,
      );
    }
  }
  for (const name of ['REDIS_URL', 'POSTGRES_URL'])
    if (given.NODE_ENV === 'production' && isKnownToEverybody(passwordOf(name, given[name] ?? ''))) {
      problems.push(
        `  ${name}: has the password of the development stack; make one with: openssl rand -hex 24`,
      );
    }
  if (Number(process.versions.napi) < 10) {
    problems.push(
      `  Node.js ${process.version} is too old (Node-API 10 is needed); run through npm, or use Node 24`,
    );
  }
  if (!parsed.success || problems.length > 0) {
    throw new ConfigError(`The configuration is not usable:\n${problems.join('\n')}\nSee .env.example.`);
  }
  return parsed.data as z.output<z.ZodObject<S>>;
};
