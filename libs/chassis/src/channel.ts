import type { Log } from './log.ts';
import { occasionally } from './occasionally.ts';
import { connectRedis } from './redis/index.ts';

/** After a refusal. */
const SUBSCRIBE_AGAIN_MS = 2_000;

/**
 * Hears what is published on a channel of Redis, over a connection of its own. What is said while that is away is lost:
 * only hints travel so. What is heard may be a stranger's.
 * @param options.lengthMax longer texts are not heard
 * @param options.hear must not throw
 */
export const listenTo = (options: {
  channel: string;
  redisUrl: string;
  log: Log;
  lengthMax: number;
  hear: (text: string) => void;
}) => {
  const { channel, log } = options;
  const tell = occasionally();
  const subscriber = connectRedis(options.redisUrl, log, {
    enableOfflineQueue: true,
    maxRetriesPerRequest: null,
    // By itself it would leave a refusal to nobody, which ends a process: a user may have lost the right to the channel.
    autoResubscribe: false,
  });
  subscriber.on('message', (_channel: string, text: string) => {
    if (text.length <= options.lengthMax) options.hear(text);
  });
  let again: NodeJS.Timeout | undefined;
  const subscribe = (): void => {
    clearTimeout(again);
    subscriber.subscribe(channel).catch((error) => {
      if (tell('refused') !== undefined)
        log.warn({ channel, err: (error as Error).message }, 'nothing is heard on this channel of Redis');
      again = setTimeout(subscribe, SUBSCRIBE_AGAIN_MS).unref();
    });
  };
  // With each connection: one that was lost is made anew.
  subscriber.on('ready', subscribe);
  if (subscriber.status === 'ready') subscribe();

  return {
    stop: (): void => {
      clearTimeout(again);
      subscriber.disconnect();
    },
  };
};
