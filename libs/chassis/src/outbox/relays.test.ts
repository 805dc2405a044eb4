import { newId } from '@aitbc/contracts';
import { eventually, rowSaying, scratchDirectory, serviceEnv } from '@aitbc/testing';
import { expect, test, vi } from 'vitest';
import { createLog } from '../log.ts';
import type { Postal } from '../mailbox.ts';
import { createMetrics } from '../metrics.ts';
import type { ChassisTables } from '../migrations/index.ts';
import type { RedisClient } from '../redis/index.ts';
import { builder } from '../sql.ts';
import { openStore, type Store } from '../store/index.ts';
import { startRelays } from './index.ts';

const db = builder<ChassisTables>();

const said = vi.hoisted(() => ({ streams: [] as string[] }));
vi.mock('../mailbox.ts', () => ({
  openSender: () => ({
    send: async (text: string) => void said.streams.push(JSON.parse(text).stream),
    hasWaiting: async () => true,
    close: async () => {},
  }),
}));

test('a stream that is lost while its relay begins is not relayed', async () => {
  const { DATABASE_URL } = serviceEnv('jobs', scratchDirectory(), 'redis://nowhere');
  const file = await openStore({
    url: DATABASE_URL as string,
    service: 'jobs',
    migrations: { sqlite: {}, postgres: {} },
  });
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
  const relays = await startRelays({
    service: 'jobs',
    store,
    redis: { hget: async () => null, on: () => {}, off: () => {} } as unknown as RedisClient,
    postal: { ackKey: () => 'ack' } as unknown as Postal,
    destinations: ['payments'],
    log: createLog('jobs', 'silent'),
    metrics: createMetrics('jobs'),
  });
  const slow = Promise.withResolvers<void>();
  reads = slow.promise;
  const before = looks;
  held = [own, 'adopted'];
  tell();
  await eventually(() => looks > before);
  held = [own];
  tell();
  slow.resolve();
  await file.transact('test.say', async (trx) => {
    const payload = JSON.stringify({ job_id: newId(), attempt: 1 });
    const row = {
      destination: 'payments',
      seq: 1,
      created_at_ms: 1,
      ...rowSaying('jobs.requeued', payload, file),
    };
    await trx.run(db.insertInto('outbox').values(row));
    trx.notify('outbox:payments');
  });
  await eventually(() => said.streams.includes(own));
  await relays.stop();
  expect(said.streams).toEqual([own]);
  await file.close();
});
