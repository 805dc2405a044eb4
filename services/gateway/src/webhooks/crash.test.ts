import { queuePrefix } from '@aitbc/chassis';
import { inboxQueue } from '@aitbc/contracts';
import { eventually, killServices, spawnService, TEST_PREFIX } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Receiver, startReceiver } from './testing/receiver.ts';
import { type Stand, startStand } from './testing/stand.ts';

// kill -9 of the worker at each step of one delivery: it arrives at least once, and each line of the log is one call at most.

const MAIN = new URL('./worker/main.ts', import.meta.url);
/** An entry whose worker is gone is handed on after some 15 s; taken for lost after 30. */
const HANDED_ON = { withinMs: 90_000, everyMs: 100 };
let stand: Stand;
let receiver: Receiver;
beforeAll(async () => {
  stand = await startStand();
  receiver = await startReceiver();
});
afterAll(async () => {
  await killServices();
  await stand.stop();
  await receiver.stop();
});

const startWorker = async (failpoint?: string) => {
  const { child } = await spawnService(MAIN, {
    ...stand.gateway.env,
    HOST: '127.0.0.1',
    PORT: '0',
    ...(failpoint === undefined ? {} : { FAILPOINT: failpoint }),
  });
  return { died: () => eventually(() => child.signalCode === 'SIGKILL', HANDED_ON) };
};

test('a worker that is killed at each step loses nothing, and the log says what is known', {
  timeout: 300_000,
}, async () => {
  const hook = await stand.hook(receiver.url);
  const before = await startWorker('webhooks:before-call');
  await stand.jobEnded();
  await before.died();
  expect(receiver.taken).toHaveLength(0);
  const after = await startWorker('webhooks:after-call');
  await after.died();
  expect(receiver.taken).toHaveLength(1);
  const reported = await startWorker('webhooks:after-report');
  await reported.died();
  expect(receiver.taken).toHaveLength(2);
  await startWorker();
  const active = `${queuePrefix(TEST_PREFIX)}:${inboxQueue('webhooks')}:active`;
  await eventually(async () => (await stand.peers.redis.llen(active)) === 0, HANDED_ON);
  const [delivery] = await stand.deliveries(hook.id);
  expect(delivery?.status).toBe('delivered');
  expect(delivery?.attempts.map(({ status, error }) => ({ status, error }))).toEqual([
    { status: null, error: 'interrupted' },
    { status: null, error: 'interrupted' },
    { status: 200, error: null },
  ]);
  expect(receiver.taken.map(({ headers }) => headers['webhook-id'])).toEqual([
    delivery?.event_id,
    delivery?.event_id,
  ]);
});
