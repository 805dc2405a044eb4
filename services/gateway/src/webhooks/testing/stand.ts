import { loadConfig, type Running } from '@aitbc/chassis';
import { newId, type Payload, routes, toTimestamp, type WebhookEventName } from '@aitbc/contracts';
import { openPeers, rememberSecret } from '@aitbc/testing';
import { KEYS, startTestGateway, type TestGateway } from '../../testing/gateway.ts';
import type { CallRules } from '../call.ts';
import { webhookWorkerConfigShape } from '../worker/config.ts';
import { startWebhookWorker } from '../worker/service.ts';

const { createWebhook, me } = routes.gateway;

/** A worker in this process, beside a gateway. */
export const startTestWorker = (
  gateway: Pick<TestGateway, 'env'>,
  rules: Partial<CallRules> = {},
  changes: Record<string, string> = {},
): Promise<Running> =>
  startWebhookWorker(
    loadConfig(webhookWorkerConfigShape, { ...gateway.env, HOST: '127.0.0.1', PORT: '0', ...changes }),
    (reason) => {
      throw new Error(reason);
    },
    rules,
  );

/** A gateway, the services that announce to it, and the account of a key. */
export const startStand = async (now: () => number = () => Date.now()) => {
  const limits = { RATE_LIMIT_USER_PER_MINUTE: '1000000', RATE_LIMIT_CLIENT_PER_MINUTE: '1000000' };
  const gateway = await startTestGateway(limits, undefined, now);
  const peers = await openPeers(gateway.env.REDIS_URL as string);
  const client = gateway.client(KEYS.client);
  const who = await client.call(me, {});
  if (!who.ok) throw new Error('no account');
  const accountId = who.body.user_id;

  const stand = {
    gateway,
    peers,
    client,
    accountId,
    /** A webhook of the account, with its secret. */
    hook: async (url: string, events: WebhookEventName[] = ['job.completed'], changes: object = {}) => {
      const made = await client.call(createWebhook, { body: { url, events, ...changes } });
      if (!made.ok) throw new Error(made.body.error.message);
      rememberSecret(made.body.secret);
      return made.body;
    },
    /** Jobs says how a job ended. @returns its id */
    jobEnded: async (
      changes: Partial<Omit<Payload<'jobs.announced'>, 'fact'>> & {
        status?: 'completed' | 'failed' | 'cancelled' | 'expired';
      } = {},
    ): Promise<string> => {
      const { status = 'completed', ...rest } = changes;
      const object_id = rest.object_id ?? newId();
      const atMs = now();
      await peers.send('jobs.announced', {
        account_ids: [accountId],
        at_ms: atMs,
        ...rest,
        object_id,
        fact: {
          type: `job.${status}`,
          data: {
            job_id: object_id,
            status,
            miner_id: null,
            payment_id: null,
            price: 0,
            ended_at: toTimestamp(atMs),
          },
        },
      });
      return object_id;
    },
    deliveries: async (webhook_id: string) => {
      const reply = await client.call(routes.gateway.listDeliveries, { params: { webhook_id }, query: {} });
      if (!reply.ok) throw new Error(reply.body.error.message);
      return reply.body.items;
    },
    webhook: async (webhook_id: string) => {
      const reply = await client.call(routes.gateway.getWebhook, { params: { webhook_id } });
      if (!reply.ok) throw new Error(reply.body.error.message);
      return reply.body;
    },
    stop: async (): Promise<void> => {
      await peers.close();
      await gateway.stop();
    },
  };
  return stand;
};
export type Stand = Awaited<ReturnType<typeof startStand>>;
