import { ackKey, type Batch, connectRedis, createLog, openQueue, openWorker } from '@aitbc/chassis';
import {
  type Destination,
  inboxQueue,
  type MessageName,
  messages,
  newId,
  type Payload,
} from '@aitbc/contracts';

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
  const queues = new Map<Destination, ReturnType<typeof openQueue>>();
  const workers: ReturnType<typeof openWorker>[] = [];

  const queueOf = (destination: Destination) => {
    const queue = queues.get(destination) ?? openQueue(inboxQueue(destination), redis);
    queues.set(destination, queue);
    return queue;
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
        await queueOf(destination).add('batch', batch);
      }
    },
    /** Stands in for `destination`: takes its mail, acknowledges it, and keeps it in the list, each message once. */
    listen: (destination: Destination): Received[] => {
      const received: Received[] = [];
      const heard = new Map<string, Set<number>>();
      const watermarks = new Map<string, number>();
      const highests = new Map<string, number>();
      workers.push(
        openWorker({
          queue: inboxQueue(destination),
          redisUrl,
          log,
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
            await redis.hset(ackKey(destination), batch.stream, `${watermark}:${highest}`);
          },
        }),
      );
      return received;
    },
    close: async (): Promise<void> => {
      for (const worker of workers) await worker.stop();
      for (const queue of queues.values()) await queue.close();
      redis.disconnect();
    },
  };
};
