import { type Destination, newId } from '@aitbc/contracts';
import { eventually, rowSaying, scratchDirectory, serviceEnv } from '@aitbc/testing';
import { test, vi } from 'vitest';
import { createLog } from '../log.ts';
import type { Postal } from '../mailbox.ts';
import { createMetrics } from '../metrics.ts';
import type { ChassisTables } from '../migrations/index.ts';
import type { RedisClient } from '../redis/index.ts';
import { WINDOW_MESSAGES } from '../send-window.ts';
import { builder } from '../sql.ts';
import { openStore } from '../store/index.ts';
import { startRelay } from './relay.ts';

const db = builder<ChassisTables>();

const mailbox = vi.hoisted(() => ({ sent: 0, begun: 0, taken: Promise.resolve() }));
vi.mock('../mailbox.ts', () => ({
  openSender: () => ({
    send: async (text: string) => {
      const last = JSON.parse(text).messages.at(-1).seq;
      mailbox.begun = Math.max(mailbox.begun, last);
      await mailbox.taken;
      mailbox.sent = Math.max(mailbox.sent, last);
    },
    hasWaiting: async () => true,
    close: async () => {},
  }),
}));

test('what is acknowledged before Redis answered for it does not fill the window', async () => {
  const { DATABASE_URL } = serviceEnv('jobs', scratchDirectory(), 'redis://nowhere');
  const store = await openStore({
    url: DATABASE_URL as string,
    service: 'jobs',
    migrations: { sqlite: {}, postgres: {} },
  });
  let watermark = 0;
  const redis = { hget: async () => 'sealed', on: () => {}, off: () => {} };
  const envelopes = { openWatermark: () => ({ watermark, highest: watermark }) };
  const relay = await startRelay({
    service: 'jobs',
    store,
    stream: store.stream,
    redis: redis as unknown as RedisClient,
    postal: { envelopes, ackKey: () => 'ack' } as unknown as Postal,
    destinations: ['payments' satisfies Destination],
    log: createLog('jobs', 'silent'),
    metrics: createMetrics('jobs'),
  });
  const one = rowSaying('jobs.requeued', JSON.stringify({ job_id: newId(), attempt: 1 }), store);
  /** @param counts of the messages of each row */
  const say = (after: number, counts: readonly number[]) =>
    store.transact('test.say', async (trx) => {
      let seq = after;
      const rows = counts.map((count) => {
        seq += count;
        const messages = Array(count).fill(one.messages).join('\n');
        return { ...one, destination: 'payments', seq, count, messages, created_at_ms: 1 };
      });
      await trx.run(db.insertInto('outbox').values(rows));
      trx.notify('outbox:payments');
    });
  await say(0, [1]);
  await eventually(() => mailbox.sent === 1);
  // An earlier try had brought all of them there, and its answer was lost.
  const answered = Promise.withResolvers<void>();
  mailbox.taken = answered.promise;
  await say(1, Array(WINDOW_MESSAGES / 100 + 1).fill(100));
  await eventually(() => mailbox.begun === WINDOW_MESSAGES + 1);
  watermark = mailbox.begun;
  await eventually(async () => (await relay.unacknowledged()) === 100);
  answered.resolve();
  await eventually(() => mailbox.sent === WINDOW_MESSAGES + 101);
  await relay.stop();
  await store.close();
});
