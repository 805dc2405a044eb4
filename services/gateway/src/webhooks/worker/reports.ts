import { type Batch, type Log, occasionally, type Sender } from '@aitbc/chassis';
import { messages, type Payload } from '@aitbc/contracts';

/** In one queue entry. */
const BATCH_MAX = 100;
/** What comes right behind the first travels together: each entry is a commit of the gateway's. */
const GATHER_MS = 50;
/** Redis is away. The gateway takes a call for lost after 30 s, and takes a late word about it all the same. */
const AGAIN_MS = 500;
const TRIES_MAX = 240;

/** Tells the gateway what came of calls. */
export const createReports = (sender: Sender, stream: string, log: Log) => {
  const tell = occasionally();
  let waiting: { message: Batch['messages'][number]; done: () => void }[] = [];
  let isPumping = false;

  const pump = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
    for (let tries = 0; waiting.length > 0 && tries < TRIES_MAX; ) {
      const batch = waiting.slice(0, BATCH_MAX);
      try {
        await sender.send({ stream, messages: batch.map(({ message }) => message) });
        waiting = waiting.slice(batch.length);
        for (const { done } of batch) done();
        tries = 0;
      } catch (error) {
        tries += 1;
        if (tell('report') !== undefined)
          log.warn({ err: error }, 'what came of webhooks could not be told yet');
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
    isPumping = false;
    // Given up: the gateway goes by the time.
    for (const { done } of waiting.splice(0)) done();
  };

  return {
    /** Resolves when it is in Redis, or given up. */
    say: (payload: Payload<'webhooks.called'>): Promise<void> =>
      new Promise((done) => {
        const { version } = messages['webhooks.called'];
        waiting.push({ message: { seq: null, name: 'webhooks.called', version, payload }, done });
        if (isPumping) return;
        isPumping = true;
        void pump();
      }),
  };
};
