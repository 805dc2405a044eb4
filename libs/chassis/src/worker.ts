import type { RequestListener } from 'node:http';
import type { Destination, ServiceName } from '@aitbc/contracts';
import { checkHealth, type Dependencies } from './health.ts';
import type { Running } from './lifecycle.ts';
import { listen } from './listen.ts';
import { createLog, type Log } from './log.ts';
import { createPostal, type Postal } from './mailbox.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { connectRedis, type RedisClient, watchBroker } from './redis/index.ts';
import { startTicker } from './ticker.ts';
import { createServerTls } from './tls.ts';

/** What any process needs to stand up. */
export interface WorkerConfig {
  NODE_ENV: string;
  LOG_LEVEL: string;
  REDIS_URL: string;
  REDIS_PREFIX: string;
  SECRET_KEY: string;
  HOST: string;
  PORT: number;
  TLS_CERT?: string | undefined;
  TLS_KEY?: string | undefined;
  TLS_CLIENT_CA?: string | undefined;
}

const json = (status: number, body: unknown) => ({
  status,
  type: 'application/json; charset=utf-8',
  body: JSON.stringify(body),
});

/**
 * Stands a worker up: a process that has no file and no routes, takes what is in its mailbox, and answers for its health
 * and metrics alone.
 * @param compose starts what it does. @returns what ends that
 */
export const standUpWorker = async (
  name: Exclude<Destination, ServiceName>,
  config: WorkerConfig,
  compose: (standing: { log: Log; metrics: Metrics; redis: RedisClient; postal: Postal }) => {
    stop(): Promise<void>;
  },
): Promise<Running> => {
  const log = createLog(name, config.LOG_LEVEL);
  const metrics = createMetrics(name);
  const tls = createServerTls(config, log);
  const redis = connectRedis(config.REDIS_URL, log);
  const postal = createPostal(config);
  const dependencies: Dependencies = {
    redis: {
      required: true,
      check: watchBroker({
        redis,
        redisUrl: config.REDIS_URL,
        prefix: postal.prefix,
        isProduction: config.NODE_ENV === 'production',
        log,
      }),
    },
  };
  const work = compose({ log, metrics, redis, postal });

  const answers: Record<string, () => Promise<{ status: number; type: string; body: string }>> = {
    '/health': async () => json(200, { status: 'ok', service: name }),
    '/health/ready': async () => {
      const health = await checkHealth(name, dependencies);
      return json(health.status === 'ok' ? 200 : 503, health);
    },
    '/metrics': async () => ({
      status: 200,
      type: metrics.registry.contentType,
      body: await metrics.registry.metrics(),
    }),
  };
  const notFound = async () =>
    json(404, { error: { code: 'NOT_FOUND', message: 'No such route.', details: {} } });
  const app: RequestListener = (request, response) => {
    const answer = request.method === 'GET' ? answers[request.url ?? ''] : undefined;
    (answer ?? notFound)().then(
      ({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body),
      () => response.destroy(),
    );
  };
  const http = await listen(app, config.HOST, config.PORT, tls === undefined ? {} : { tls });
  const ticker = startTicker({ schedule: tls?.schedule ?? [], leads: () => true, log, metrics });
  log.info({ url: http.url }, 'ready');

  return {
    url: http.url,
    stop: async () => {
      await http.stop();
      await ticker.stop();
      await work.stop();
      redis.disconnect();
      log.info('stopped');
    },
  };
};
