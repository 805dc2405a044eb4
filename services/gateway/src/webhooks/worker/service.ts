import {
  type Batch,
  deriveKey,
  type Fail,
  failpoint,
  openReceiver,
  openSender,
  type Running,
  standUpWorker,
} from '@aitbc/chassis';
import { messages, newId, type Payload } from '@aitbc/contracts';
import { Counter, Histogram } from 'prom-client';
import { type CallRules, callStranger } from '../call.ts';
import { isSuccess } from '../domain.ts';
import { type Letter, LOCK_PURPOSE, unlock } from '../locked.ts';
import type { WebhookWorkerConfig } from './config.ts';
import { createReports } from './reports.ts';

const HEARD = { 'gateway.call_due': messages['gateway.call_due'].schema } as const;

type Call = Payload<'gateway.call_due'>;
type Report = Payload<'webhooks.called'>;

/**
 * Calls the addresses that strangers chose, and tells the gateway what came of it. It keeps nothing: any number may run
 * anywhere, and what one had in hand when it died is not called by another, which cannot know whether it arrived; the gateway
 * is told that it was interrupted, and decides.
 * @param rules for tests: how a name is looked up, and what is let through
 */
export const startWebhookWorker = (
  config: WebhookWorkerConfig,
  fail: Fail,
  rules: Partial<CallRules> = {},
): Promise<Running> =>
  standUpWorker('webhooks', config, ({ log, metrics, redis, postal }) => {
    const registers = [metrics.registry];
    const outcomes = new Counter({
      name: 'webhook_calls_total',
      help: 'Calls of webhooks, by what came of it: delivered, or why not',
      labelNames: ['outcome'] as const,
      registers,
    });
    const duration = new Histogram({
      name: 'webhook_call_seconds',
      help: 'From the look-up of the name to the answer',
      buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
    const sender = openSender({ from: 'webhooks', to: 'gateway', redis, postal });
    const reports = createReports(sender, `webhooks-${newId()}`, log);
    const callRules: CallRules = { isDevelopment: config.NODE_ENV !== 'production', ...rules };

    const lockKey = deriveKey(config.SECRET_KEY, LOCK_PURPOSE);

    const call = async ({ locked }: Call): Promise<Omit<Report, 'delivery_id' | 'attempt'>> => {
      const { url, headers, body } = JSON.parse(unlock(lockKey, locked)) as Letter;
      const started_at_ms = Date.now();
      const startedAt = performance.now();
      const outcome = await callStranger(new URL(url), headers, body, callRules);
      const duration_ms = Math.round(performance.now() - startedAt);
      duration.observe(duration_ms / 1_000);
      if (outcome.kind === 'failed')
        return { started_at_ms, duration_ms, status: null, error: outcome.reason, response: null };
      const { status, text } = outcome;
      return {
        started_at_ms,
        duration_ms,
        status,
        error: isSuccess(status) ? null : 'bad_status',
        response: text,
      };
    };
    const notCalled = (error: 'interrupted' | 'not_called') => ({
      started_at_ms: Date.now(),
      duration_ms: null,
      status: null,
      error,
      response: null,
    });

    const callAndTell = async (due: Call): Promise<void> => {
      failpoint('webhooks:before-call');
      const outcome = await call(due);
      failpoint('webhooks:after-call');
      await tell(due, outcome);
      failpoint('webhooks:after-report');
    };
    const tell = (due: Call, outcome: Omit<Report, 'delivery_id' | 'attempt'>): Promise<void> => {
      outcomes.inc({ outcome: outcome.error ?? 'delivered' });
      return reports.say({ delivery_id: due.delivery_id, attempt: due.attempt, ...outcome });
    };
    const handle = (due: Call, isAgain: boolean): Promise<void> => {
      if (isAgain) return tell(due, notCalled('interrupted'));
      return Date.now() > due.call_before_ms ? tell(due, notCalled('not_called')) : callAndTell(due);
    };

    const receiver = openReceiver({
      to: 'webhooks',
      postal,
      redisUrl: config.REDIS_URL,
      log,
      metrics,
      concurrency: config.WEBHOOK_CALLS_AT_ONCE,
      onStuck: fail,
      process: async (data, _from, isAgain) => {
        const calls = ((data as Batch | undefined)?.messages ?? []).flatMap(({ name, payload }) => {
          const parsed = Object.hasOwn(HEARD, name)
            ? HEARD[name as keyof typeof HEARD].safeParse(payload)
            : undefined;
          if (parsed?.success === true) return [parsed.data];
          log.error({ message: name, err: parsed?.error }, 'a call could not be read');
          return [];
        });
        // Nothing of it is thrown: what was called is not to be called again by the queue.
        const done = await Promise.allSettled(calls.map((due) => handle(due, isAgain)));
        for (const one of done)
          if (one.status === 'rejected') log.error({ err: one.reason }, 'a webhook could not be called');
      },
    });
    return {
      stop: async () => {
        await receiver.stop();
        await sender.close();
      },
    };
  });
