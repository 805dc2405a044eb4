import {
  type AnyRoute,
  type Destination,
  type MessageName,
  messages,
  SERVICES,
  type ServiceName,
} from '@aitbc/contracts';
import type { RequestHandler } from 'express';
import { deriveKey } from './caller.ts';
import { clock, watchClock } from './clock.ts';
import { DAY_MS, DEVELOPMENT_SECRET, databaseUrl } from './config.ts';
import { type Dependencies, healthRoutes } from './health.ts';
import { createHttp, type Handlers } from './http.ts';
import { purgeIdempotency } from './idempotency.ts';
import { type Consumers, startInbox } from './inbox/index.ts';
import type { Fail, Running } from './lifecycle.ts';
import { type Listening, listen } from './listen.ts';
import { createLog, type Log } from './log.ts';
import { createPostal, type Postal } from './mailbox.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { ChassisTables } from './migrations/index.ts';
import { deadLetterRoutes, purgeDeadLetters } from './operations.ts';
import { startRelays } from './outbox/index.ts';
import { createPurge, type Purge } from './purge.ts';
import { connectRedis, type RedisClient, watchBroker } from './redis/index.ts';
import { createSmallSteps } from './small-steps.ts';
import { builder } from './sql.ts';
import { type Migrations, type MigrationsByEngine, openStore, type Store } from './store/index.ts';
import { type Scheduled, startTicker } from './ticker.ts';
import { createServerTls } from './tls.ts';
import { linkTopics } from './topics.ts';
import type { WorkerConfig } from './worker.ts';

const db = builder<ChassisTables>();

/** A gateway looks once a second which processes of a service are ready; the rest is for its way here. */
const LINGER_MS = 1_500;

/** What the chassis hands to a service's composition root. */
export interface Standing<C> {
  readonly config: C;
  readonly store: Store;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly purge: Purge;
  readonly redis: RedisClient;
  /** For a service that leaves something in Redis beside its outbox. */
  readonly postal: Postal;
}

/** What a service is, beyond standing up: its answers, its ears, and what it does by itself. */
export interface Parts<S extends ServiceName, R extends Record<string, AnyRoute>> {
  readonly handlers: Handlers<R>;
  readonly consumers: Consumers<S>;
  readonly schedule: readonly Scheduled[];
  readonly dependencies?: Dependencies;
  /** For a service that others reach through: sees every request before the routes. */
  readonly front?: RequestHandler;
  readonly listening?: Listening;
  /** Before the port opens: load caches, rebuild what lives in memory. */
  readonly start?: () => Promise<void> | void;
  /** While draining, before the store closes: end long-polls and streams. */
  readonly stop?: () => Promise<void> | void;
}

interface BaseConfig extends WorkerConfig {
  LEGACY_ROUTES: 'on' | 'off';
  KEEP_IDEMPOTENCY_KEYS_DAYS: number;
  KEEP_DEAD_LETTERS_DAYS: number;
  DATABASE_URL?: string | undefined;
  POSTGRES_URL?: string | undefined;
  BODY_SILENCE_SECONDS: number;
  BODY_LEAST_BYTES_PER_SECOND: number;
}

/** Where `service` sends: read off the catalogue, so a new message needs no wiring. */
const destinationsOf = (service: ServiceName): Destination[] => [
  ...new Set(
    Object.keys(messages)
      .map((name) => messages[name as MessageName])
      .filter((message) => (message.from as string) === service)
      .flatMap((message) => [...message.to] as Destination[]),
  ),
];

/**
 * Stands a service up: store, relay, inbox, ticker, HTTP, in this order; takes it down in the reverse one.
 * @param compose builds the service's parts from plain dependencies.
 */
export const standUp = async <
  S extends ServiceName,
  R extends Record<string, AnyRoute>,
  C extends BaseConfig,
>(
  definition: {
    readonly name: S;
    readonly routes: R;
    readonly migrations: Migrations | MigrationsByEngine;
    /** See {@link openStore}. */
    readonly takesTurns?: boolean;
    readonly compose: (standing: Standing<C>) => Parts<S, R> | Promise<Parts<S, R>>;
  },
  config: C,
  fail: Fail,
): Promise<Running> => {
  const { name } = definition;
  if (!SERVICES.includes(name)) throw new Error(`unknown service ${name}`);
  clock.anchor();
  const log = createLog(name, config.LOG_LEVEL);
  const metrics = createMetrics(name);
  const tls = createServerTls(config, log);
  const store = await openStore({
    url: databaseUrl(config, name),
    service: name,
    migrations: definition.migrations,
    takesTurns: definition.takesTurns ?? false,
  });
  const redis = connectRedis(config.REDIS_URL, log);
  const redisProblem = watchBroker({
    redis,
    redisUrl: config.REDIS_URL,
    prefix: config.REDIS_PREFIX,
    isProduction: config.NODE_ENV === 'production',
    log,
  });
  if (config.SECRET_KEY.startsWith(DEVELOPMENT_SECRET)) {
    log.warn('this is a development stack: its keys and secrets are known to everybody; see .env.example');
  }
  const callerKey = deriveKey(config.SECRET_KEY, 'caller');

  const postal = createPostal(config);
  const link = store.isShared
    ? linkTopics({ service: name, store, redis, redisUrl: config.REDIS_URL, postal, log, metrics })
    : null;
  const purge = createPurge(store, metrics);
  const idempotencyMs = config.KEEP_IDEMPOTENCY_KEYS_DAYS * DAY_MS;
  const parts = await definition.compose({ config, store, log, metrics, purge, redis, postal });
  const relay = await startRelays({
    service: name,
    store,
    redis,
    postal,
    destinations: destinationsOf(name),
    log,
    metrics,
  });
  await parts.start?.();
  const inbox = startInbox<S>({
    service: name,
    store,
    redis,
    redisUrl: config.REDIS_URL,
    postal,
    consumers: parts.consumers,
    log,
    metrics,
    onStuck: fail,
  });
  const ticker = startTicker({
    schedule: [
      ...parts.schedule,
      ...inbox.schedule,
      ...(tls?.schedule ?? []),
      ...relay.schedule,
      purgeIdempotency(store, idempotencyMs, purge),
      purgeDeadLetters(store, config.KEEP_DEAD_LETTERS_DAYS * DAY_MS, purge),
      shrinkStore(store),
      watchClock(clock, log, metrics),
    ],
    leads: store.leads,
    log,
    metrics,
  });
  metrics.gauge(
    'outbox_unacknowledged',
    'Messages sent or waiting that their receiver has not acknowledged',
    relay.unacknowledged,
  );
  metrics.gauge('store_waiting', 'Functions waiting for the write transaction', store.waiting);
  metrics.countOf(
    'store_statements_total',
    'Statements given to the store, by verb and table',
    'kind',
    () => store.statements,
  );
  if (store.isShared) {
    metrics.gauge('store_place', 'The place of this process among those of its service', () => store.place);
    metrics.gauge('store_leads', '1 in the process that leads, 0 in the others', () => Number(store.leads()));
  }
  metrics.gauge('dead_letters', 'Messages that failed and wait for a retry or an operator', () =>
    countDeadLetters(store),
  );

  const dependencies: Dependencies = {
    // Requests are answered from the file; without Redis work is accepted and waits.
    redis: {
      required: false,
      check: redisProblem,
    },
    database: {
      required: true,
      check: async () =>
        (await store.read.get(db.selectFrom('store_identity').select('id'))) === undefined
          ? 'does not answer'
          : store.writeProblem(),
    },
    ...parts.dependencies,
  };
  const app = createHttp({
    routes: definition.routes,
    handlers: parts.handlers,
    ...(parts.front === undefined ? {} : { front: parts.front }),
    operations: (express) => {
      healthRoutes(name, metrics, dependencies)(express);
      deadLetterRoutes(name, store, callerKey)(express);
    },
    callerKey,
    store,
    idempotencyMs,
    log,
    metrics,
    checkAnswers: config.NODE_ENV === 'test',
    legacy: config.LEGACY_ROUTES === 'on',
  });
  const pace = {
    silenceSeconds: config.BODY_SILENCE_SECONDS,
    leastBytesPerSecond: config.BODY_LEAST_BYTES_PER_SECOND,
  };
  const http = await listen(app, config.HOST, config.PORT, {
    pace,
    ...(tls === undefined ? {} : { tls }),
    // Others go on answering meanwhile; alone, nobody would notice but who waits for the restart.
    lingerMs: store.isShared ? LINGER_MS : 0,
    ...parts.listening,
  });
  log.info({ url: http.url }, 'ready');

  return {
    url: http.url,
    stop: async () => {
      const drained = http.stop();
      await parts.stop?.();
      await drained;
      await ticker.stop();
      await inbox.stop();
      await relay.stop();
      link?.stop();
      redis.disconnect();
      await store.close();
      log.info('stopped');
    },
  };
};

const SHRINK_EVERY_MS = 5_000;
/** Pages a step: 1 MB. */
const SHRINK_MAX = 256;
const shrinkStore = (store: Store): Scheduled => {
  const small = createSmallSteps({ max: SHRINK_MAX });
  return {
    name: 'store.shrink',
    everyMs: SHRINK_EVERY_MS,
    run: async (signal) => {
      await small.run(signal, store.shrink);
    },
  };
};

const countDeadLetters = async (store: Store): Promise<number> =>
  Number(
    (await store.read.get(db.selectFrom('dead_letter').select((eb) => eb.fn.countAll().as('n'))))?.n ?? 0,
  );
