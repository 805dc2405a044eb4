import {
  type Batch,
  connectRedis,
  createLog,
  createMetrics,
  createPostal,
  openReceiver,
  openSender,
  type Sender,
} from '@aitbc/chassis';
import { type Destination, type MessageName, messages, newId, type Payload } from '@aitbc/contracts';
import { TEST_PREFIX, TEST_SECRET } from './scratch.ts';

/** A message as its receiver would get it, once. */
export type Received = { [N in MessageName]: { name: N; payload: Payload<N> } }[MessageName];

/**
 * The rest of the stack, for a test of one service: says what the others would say, hears what it says to them.
 * `const peers = await openPeers(redisUrl); await peers.send('jobs.started', {…}); peers.listen('jobs')`.
 */
export const openPeers = async (redisUrl: string) => {
  const log = createLog('peers', 'silent');
  const redis = connectRedis(redisUrl, log);
  if (redis.status !== 'ready') await new Promise((resolve) => redis.once('ready', resolve));
  const stream = `test-${newId()}`;
  const seqs = new Map<Destination, number>();
  const senders = new Map<string, Sender>();
  const workers: ReturnType<typeof openReceiver>[] = [];
  const postal = createPostal({ SECRET_KEY: TEST_SECRET, REDIS_PREFIX: TEST_PREFIX });
  const metrics = createMetrics('peers');

  const senderOf = (from: Destination, to: Destination) => {
    const sender = senders.get(`${from} ${to}`) ?? openSender({ from, to, redis, postal });
    senders.set(`${from} ${to}`, sender);
    return sender;
  };

  return {
    redis,
    /** Sends to all that the catalogue names, or to `to` alone. Parsed, as every sender's messages are. */
    send: async <N extends MessageName>(name: N, payload: Payload<N>, to?: Destination): Promise<void> => {
      const message = messages[name as MessageName];
      const parsed = message.schema.parse(payload);
      for (const destination of to === undefined ? (message.to as readonly Destination[]) : [to]) {
        const seq = (seqs.get(destination) ?? 0) + 1;
        seqs.set(destination, seq);
        const batch: Batch = {
          stream,
          messages: [{ seq, name, version: message.version, payload: parsed }],
        };
        await senderOf(message.from, destination).send(batch);
      }
    },
    /** Stands in for `destination`: takes its mail, acknowledges it, and keeps it in the list, each message once. */
    listen: (destination: Destination): Received[] => {
      const received: Received[] = [];
      const heard = new Map<string, Set<number>>();
      const watermarks = new Map<string, number>();
      const highests = new Map<string, number>();
      workers.push(
        openReceiver({
          to: destination,
          postal,
          redisUrl,
          log,
          metrics,
          onStuck: () => {},
          process: async (data) => {
            const batch = data as Batch;
            const seen = heard.get(batch.stream) ?? new Set();
            heard.set(batch.stream, seen);
            for (const { seq, name, payload } of batch.messages) {
              if (seq !== null && seen.has(seq)) continue;
              if (seq !== null) seen.add(seq);
              received.push({ name, payload } as Received);
            }
            // Acknowledged up to the first gap: what a wiped Redis took is sent again.
            let watermark = watermarks.get(batch.stream) ?? 0;
            while (seen.has(watermark + 1)) watermark += 1;
            watermarks.set(batch.stream, watermark);
            const highest = Math.max(
              highests.get(batch.stream) ?? 0,
              ...batch.messages.map(({ seq }) => seq ?? 0),
            );
            highests.set(batch.stream, highest);
            await redis.hset(
              postal.ackKey(destination),
              batch.stream,
              postal.envelopes.sealWatermark(destination, batch.stream, watermark, highest),
            );
          },
        }),
      );
      return received;
    },
    close: async (): Promise<void> => {
      for (const worker of workers) await worker.stop();
      for (const sender of senders.values()) await sender.close();
      redis.disconnect();
    },
  };
};
