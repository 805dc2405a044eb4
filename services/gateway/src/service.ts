import { timingSafeEqual } from 'node:crypto';
import { clock, createParameters, DAY_MS, deriveKey, type Fail, openSender, standUp } from '@aitbc/chassis';
import { allRoutes, nativeRoutes, routes } from '@aitbc/contracts';
import type { Request } from 'express';
import helmet from 'helmet';
import { migrations } from '../migrations/index.ts';
import { createAgents } from './agents.ts';
import { createAsk } from './ask.ts';
import { auditHandlers } from './audit.ts';
import { createBoard } from './board.ts';
import { syncBootstrapKeys } from './commands.ts';
import { type Config, withAddress } from './config.ts';
import { createConsole } from './console.ts';
import { createConsumers } from './consumers.ts';
import { createCredentials } from './credentials.ts';
import { createDocsPage } from './docs.ts';
import { bootstrapKeys, secretHash } from './domain.ts';
import { exportHandlers } from './export.ts';
import {
  boundConnections,
  type CountedClass,
  createFront,
  createRouting,
  crossOrigin,
  type Page,
  prepareServer,
  SERVER_OPTIONS,
  settleCost,
} from './front/index.ts';
import { legacyHandlers } from './legacy.ts';
import { mergeMetrics } from './metrics.ts';
import { createProxy } from './proxy.ts';
import { createQueues } from './queues.ts';
import { createRateLimits } from './rate-limits.ts';
import { createHandlers } from './routes.ts';
import { createSchedule } from './schedule.ts';
import { createServices, remembered, upstreamUrls } from './services.ts';
import { boundSessions } from './store.ts';
import { createTargets } from './targets.ts';
import { openWebhooks } from './webhooks/index.ts';
import { LOCK_PURPOSE } from './webhooks/locked.ts';

const HSTS_SECONDS = 365 * 86_400;
/** Of one address. Several Prometheus behind one, each every 5 s, need a tenth of it. */
const METRICS_PER_MINUTE = 600;
/** Writing the page takes 30 ms on a busy machine. */
const METRICS_WRITTEN_EVERY_MS = 1_000;

const hasToken = (request: Request, token: string | undefined): boolean => {
  const [scheme, given] = (request.headers.authorization ?? '').split(' ', 2);
  if (token === undefined || scheme?.toLowerCase() !== 'bearer' || given === undefined) return false;
  return timingSafeEqual(Buffer.from(secretHash(given)), Buffer.from(secretHash(token)));
};

/** What a handler of the gateway's own says. */
const bodyOf = (reply: { readonly body: unknown } | null) => reply?.body as never;

/**
 * The composition root: every part with its plain dependencies, and nothing else.
 * @param now by which keys and sessions end.
 */
export const startGateway = (config: Config, fail: Fail, now: () => number = clock.nowMs) => {
  const isProduction = config.NODE_ENV === 'production';
  const sessionMs = config.KEEP_SESSIONS_DAYS * DAY_MS;
  return standUp(
    {
      name: 'gateway',
      routes: routes.gateway,
      migrations,
      compose: async ({ store, log, metrics, purge, redis, postal }) => {
        const callerKey = deriveKey(config.SECRET_KEY, 'caller');
        const urls = upstreamUrls(config);
        const redisUrl = config.REDIS_URL;
        const redisPrefix = postal.prefix;
        const parameters = await createParameters(store, 'gateway');
        const credentials = createCredentials({ store, redisUrl, redisPrefix, log });
        const rateLimits = createRateLimits({ redisUrl, redisPrefix, log });
        const agents = createAgents(config, log);
        const ask = createAsk(agents);
        const targets = createTargets({ urls, agents, ask });
        const proxy = createProxy(targets, settleCost, config.DOOR_SILENCE_SECONDS * 1_000);
        const services = createServices(urls, ask, callerKey);
        const queues = createQueues(redis, redisPrefix);
        const webhooks = openWebhooks({
          store,
          sender: openSender({ from: 'gateway', to: 'webhooks', redis, postal }),
          isConnected: () => redis.status === 'ready',
          key: deriveKey(config.SECRET_KEY, 'webhooks'),
          lockKey: deriveKey(config.SECRET_KEY, LOCK_PURPOSE),
          findResult: services.resultOfJob,
          callsMax: config.WEBHOOK_CALLS_AT_ONCE,
          isDevelopment: !isProduction,
          deliveriesMs: config.KEEP_DELIVERIES_DAYS * DAY_MS,
          purge,
          now,
          log,
          metrics,
        });

        const userLimit = () =>
          parameters.get('rate_limit_user_per_minute', config.RATE_LIMIT_USER_PER_MINUTE);
        const limits: Record<CountedClass, () => number> = {
          client: () => parameters.get('rate_limit_client_per_minute', config.RATE_LIMIT_CLIENT_PER_MINUTE),
          miner: () => parameters.get('rate_limit_miner_per_minute', config.RATE_LIMIT_MINER_PER_MINUTE),
          stream: () => config.RATE_LIMIT_STREAM_PER_MINUTE,
          user: userLimit,
          public: userLimit,
        };

        const metricsText = remembered(METRICS_WRITTEN_EVERY_MS, async () =>
          mergeMetrics(await metrics.registry.metrics(), await services.metrics()),
        );
        const metricsPage: Page = {
          matches: (path) => path === '/metrics',
          label: '/metrics',
          // It tells how much is done here, and takes work to write: in production not to everybody.
          operatorsOnly: isProduction,
          admits: (request, origin) => origin.isLocal || hasToken(request, config.METRICS_TOKEN),
          perMinute: METRICS_PER_MINUTE,
          serve: async (_request, response) => {
            response.type('text/plain; version=0.0.4').send(await metricsText());
          },
        };

        const consolePage = createConsole(config.CONSOLE_DIR);
        if (consolePage === undefined) log.info({ folder: config.CONSOLE_DIR }, 'no console is built there');

        const offered = config.LEGACY_ROUTES === 'on' ? allRoutes : nativeRoutes;
        const front = createFront({
          routing: createRouting(offered),
          credentials,
          rateLimits,
          proxy,
          callerKey,
          now,
          pages: [
            metricsPage,
            createDocsPage(offered),
            createBoard(queues),
            ...(consolePage === undefined ? [] : [consolePage]),
          ],
          limitOf: (rate) => limits[rate](),
          trustedProxies: config.TRUST_PROXY,
          demandHttps: isProduction,
          secure: helmet({
            // Answers are data: a browser that opens one as a page may do nothing with it.
            contentSecurityPolicy: {
              useDefaults: false,
              directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
            },
            hsts: isProduction ? { maxAge: HSTS_SECONDS } : false,
            frameguard: { action: 'deny' },
            crossOriginResourcePolicy: { policy: 'cross-origin' },
            // For pages of old browsers; the docs are the only pages here and set their own.
            crossOriginOpenerPolicy: false,
            originAgentCluster: false,
            dnsPrefetchControl: false,
            ieNoOpen: false,
            permittedCrossDomainPolicies: false,
            xXssProtection: false,
          }),
          cors: crossOrigin(config.CORS_ORIGINS),
        });

        const own = createHandlers({
          store,
          credentials,
          services,
          queues,
          now,
          sessionMs,
          challengeMs: config.KEEP_CHALLENGES_MINUTES * 60_000,
          nodeEnv: config.NODE_ENV,
          publicUrl: config.PUBLIC_URL,
        });
        return {
          handlers: {
            ...legacyHandlers({
              services,
              store,
              isRedisThere: () => redis.status === 'ready',
              nodeEnv: config.NODE_ENV,
            }),
            ...webhooks.handlers,
            ...auditHandlers(store),
            ...own,
            ...exportHandlers({
              services,
              log,
              own: {
                me: async (caller) => bodyOf(await own.me({ caller } as never)),
                keys: async (caller, query) => bodyOf(await own.listKeys({ caller, query } as never)),
                webhooks: async (caller, query) =>
                  bodyOf(await webhooks.handlers.listWebhooks({ caller, query } as never)),
              },
            }),
          },
          consumers: createConsumers(parameters, now),
          schedule: [
            ...createSchedule(store, credentials, purge, now),
            targets.schedule,
            ...agents.schedule(),
            ...webhooks.schedule,
          ],
          dependencies: services.dependencies(),
          front,
          listening: {
            options: SERVER_OPTIONS,
            prepare: (server) => {
              const max = config.TRUST_PROXY > 0 ? 0 : config.CONNECTIONS_PER_ADDRESS;
              boundConnections(server, { max, log, metrics });
              prepareServer(server);
            },
          },
          start: async () => {
            await rateLimits.start();
            const refused = await store.transact('keys.sync', (trx) =>
              syncBootstrapKeys(trx, bootstrapKeys(config), now()),
            );
            await store.transact('sessions.bound', (trx) => boundSessions(trx, now(), sessionMs));
            if (refused > 0) log.warn({ refused }, 'keys of the configuration were revoked by an operator');
          },
          stop: async () => {
            await proxy.stop();
            await webhooks.stop();
            agents.destroy();
            await queues.stop();
            await credentials.saveUses();
            credentials.stop();
            rateLimits.stop();
          },
        };
      },
    },
    withAddress(config),
    fail,
  );
};
