import {
  type Batch,
  type Fail,
  openReceiver,
  openSender,
  type Running,
  type Sender,
  standUpWorker,
} from '@aitbc/chassis';
import { messages, newId, type Payload } from '@aitbc/contracts';
import { Counter, Histogram } from 'prom-client';
import type { DispatcherConfig } from './config.ts';
import { dispatchKeys } from './keys.ts';
import { createPool, type Hint } from './pool.ts';

const RECEIVED = Object.keys(messages).filter((name) =>
  (messages[name as keyof typeof messages].to as readonly string[]).includes('dispatcher'),
);

/**
 * A dispatch worker: takes offers off the mailbox, runs them through the index, proposes the matches to jobs. It keeps
 * nothing: any number may run anywhere, and one that dies leaves its batch to another, which gets the same matches.
 */
export const startDispatcher = (config: DispatcherConfig, fail: Fail): Promise<Running> =>
  standUpWorker('dispatcher', config, ({ log, metrics, redis, postal }) => {
    const registers = [metrics.registry];
    const offers = new Counter({
      name: 'dispatch_offers_total',
      help: 'Offers taken in, by name',
      labelNames: ['name'] as const,
      registers,
    });
    const matched = new Counter({
      name: 'dispatch_matches_total',
      help: 'Jobs proposed to polls',
      registers,
    });
    const duration = new Histogram({
      name: 'dispatch_batch_seconds',
      help: 'A batch of offers through the index',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5],
      registers,
    });
    const pool = createPool(redis, dispatchKeys(postal.prefix, redis.isCluster));
    /** A match goes to the process that holds its poll: to its place's mailbox, where there are several. */
    const senders = new Map<number | undefined, Sender>();
    const senderTo = (place: number | undefined): Sender => {
      const sender =
        senders.get(place) ??
        openSender({
          from: 'dispatcher',
          to: 'jobs',
          place,
          redis,
          postal,
        });
      senders.set(place, sender);
      return sender;
    };
    const stream = `dispatcher-${newId()}`;

    /** What cannot be read is left out: the jobs service offers again whatever is missed. */
    const readHints = (batch: Batch | undefined): Hint[] =>
      (batch?.messages ?? []).flatMap(({ name, payload }) => {
        const parsed = RECEIVED.includes(name)
          ? messages[name as Hint['name']].schema.safeParse(payload)
          : undefined;
        if (parsed?.success !== true) {
          log.error({ message: name, err: parsed?.error }, 'an offer could not be read');
          return [];
        }
        offers.inc({ name });
        return [{ name, payload: parsed.data } as Hint];
      });

    const worker = openReceiver({
      to: 'dispatcher',
      postal,
      redisUrl: config.REDIS_URL,
      log,
      metrics,
      onStuck: fail,
      process: async (data) => {
        const hints = readHints(data as Batch | undefined);
        if (hints.length === 0) return;
        const done = duration.startTimer();
        const { matches, missing } = await pool.offer(hints);
        done();
        if (matches.length + missing.length === 0) return;
        matched.inc(matches.reduce((sum, match) => sum + match.job_ids.length, 0));
        const say = <N extends 'dispatch.matched' | 'dispatch.capability_missing'>(
          name: N,
          payload: Payload<N>,
        ) => ({ seq: null, name, version: messages[name].version, payload });
        const entries = new Map<number | undefined, Batch['messages']>();
        const put = (place: number | undefined, message: Batch['messages'][number]): void => {
          const messagesOfPlace = entries.get(place) ?? [];
          messagesOfPlace.push(message);
          entries.set(place, messagesOfPlace);
        };
        for (const { place, ...match } of matches) put(place, say('dispatch.matched', match));
        for (const { place, ...poll } of missing) put(place, say('dispatch.capability_missing', poll));
        // All or none: what was not sent makes this batch come again, with the same matches.
        await Promise.all(
          [...entries].map(([place, messagesOfPlace]) =>
            senderTo(place).send({ stream, messages: messagesOfPlace }),
          ),
        );
      },
    });

    return {
      stop: async () => {
        await worker.stop();
        for (const sender of senders.values()) await sender.close();
      },
    };
  });
