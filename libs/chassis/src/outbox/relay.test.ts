import { type Destination, newId } from '@aitbc/contracts';
import { eventually, rowSaying, scratchDirectory, serviceEnv } from '@aitbc/testing';
import { beforeEach, expect, test, vi } from 'vitest';
import { createLog } from '../log.ts';
import type { Postal } from '../mailbox.ts';
import { createMetrics } from '../metrics.ts';
import type { ChassisTables } from '../migrations/index.ts';
import type { RedisClient } from '../redis/index.ts';
import { WINDOW_MESSAGES } from '../send-window.ts';
import { builder } from '../sql.ts';
import { openStore, type Store } from '../store/index.ts';
import { startRelays } from './index.ts';
import { startRelay } from './relay.ts';

// In the place of the mailbox: when Redis answers, and what was acknowledged before it did, cannot be chosen with a real one.

const db = builder<ChassisTables>();

const mailbox = vi.hoisted(() => ({
  streams: [] as string[],
  begun: 0,
  sent: 0,
  taken: Promise.resolve(),
}));
vi.mock('../mailbox.ts', () => ({
  openSender: () => ({
    send: async (text: string) => {
      const { stream, messages } = JSON.parse(text);
      mailbox.streams.push(stream);
      const last = messages.at(-1).seq;
      mailbox.begun = Math.max(mailbox.begun, last);
      await mailbox.taken;
      mailbox.sent = Math.max(mailbox.sent, last);
    },
    hasWaiting: async () => true,
    close: async () => {},
  }),
}));

let file: Store;
beforeEach(async () => {
  Object.assign(mailbox, { streams: [], begun: 0, sent: 0, taken: Promise.resolve() });
  const { DATABASE_URL } = serviceEnv('jobs', scratchDirectory(), 'redis://nowhere');
  const migrations = { sqlite: {}, postgres: {} };
  file = await openStore({ url: DATABASE_URL as string, service: 'jobs', migrations });
});

let watermark = 0;
const parts = () => ({
  service: 'jobs' as const,
  redis: { hget: async () => 'sealed', on: () => {}, off: () => {} } as unknown as RedisClient,
  postal: {
    envelopes: { openWatermark: () => ({ watermark, highest: watermark }) },
    ackKey: () => 'ack',
  } as unknown as Postal,
  destinations: ['payments' satisfies Destination] as const,
  log: createLog('jobs', 'silent'),
  metrics: createMetrics('jobs'),
});
/** Rows with so many messages each, after so many that were said before. */
const say = (after: number, counts: readonly number[]) =>
  file.transact('test.say', async (trx) => {
    const one = rowSaying('jobs.requeued', JSON.stringify({ job_id: newId(), attempt: 1 }), file);
    let seq = after;
    const rows = counts.map((count) => {
      seq += count;
      const messages = Array(count).fill(one.messages).join('\n');
      return { ...one, destination: 'payments', seq, count, messages, created_at_ms: 1 };
    });
    await trx.run(db.insertInto('outbox').values(rows));
    trx.notify('outbox:payments');
  });

test('what is acknowledged before Redis answered for it does not fill the window', async () => {
  watermark = 0;
  const relay = await startRelay({ ...parts(), store: file, stream: file.stream });
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
  await file.close();
});

test('a stream that is lost while its relay begins is not relayed', async () => {
  watermark = 0;
  const own = file.stream;
  let held = [own];
  let tell = (): void => {};
  let reads = Promise.resolve();
  const streams = {
    ...file.streams,
    held: () => held,
    onChange: (listener: () => void) => {
      tell = listener;
      return () => {};
    },
  };
  let looks = 0;
  const get = (...asked: Parameters<Store['read']['get']>) => {
    looks += 1;
    return reads.then(() => file.read.get(...asked));
  };
  const store = { ...file, streams, read: { ...file.read, get } } as unknown as Store;
  const relays = await startRelays({ ...parts(), store });
  const slow = Promise.withResolvers<void>();
  reads = slow.promise;
  const before = looks;
  held = [own, 'adopted'];
  tell();
  await eventually(() => looks > before);
  held = [own];
  tell();
  slow.resolve();
  await say(0, [1]);
  await eventually(() => mailbox.streams.includes(own));
  await relays.stop();
  expect(mailbox.streams).toEqual([own]);
  await file.close();
});
