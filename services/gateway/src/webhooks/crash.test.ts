import { eventually, killServices, spawnService } from '@aitbc/testing';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Receiver, startReceiver } from './testing/receiver.ts';
import { type Stand, startStand } from './testing/stand.ts';

// kill -9 of the worker at each step: delivered at least once, and each line of the log is one call at most.

const MAIN = new URL('./worker/main.ts', import.meta.url);
let stand: Stand;
let receiver: Receiver;
beforeAll(async () => {
  stand = await startStand();
});
afterEach(killServices);
afterAll(() => stand.stop());

const startWorker = (failpoint?: string) =>
  spawnService(MAIN, {
    ...stand.gateway.env,
    HOST: '127.0.0.1',
    PORT: '0',
    ...(failpoint === undefined ? {} : { FAILPOINT: failpoint }),
  });

test.each([
  // Nobody was called, and nobody knows.
  ['webhooks:before-call', 1],
  // The receiver has it, and the gateway was not told.
  ['webhooks:after-call', 2],
  // The gateway was told, and the entry is still in the queue.
  ['webhooks:after-report', 1],
])('killed at %s', { timeout: 90_000 }, async (failpoint, calls) => {
  receiver = await startReceiver();
  const { child } = await startWorker(failpoint);
  const hook = await stand.hook(receiver.url);
  await stand.jobEnded();
  await eventually(() => child.signalCode === 'SIGKILL');
  await startWorker();
  const delivery = await eventually(
    async () => (await stand.deliveries(hook.id)).find(({ status }) => status === 'delivered'),
    { withinMs: 60_000, everyMs: 200 },
  );
  expect(receiver.taken).toHaveLength(calls);
  expect(new Set(receiver.taken.map(({ headers }) => headers['webhook-id']))).toEqual(
    new Set([delivery.event_id]),
  );
  const log = delivery.attempts.map(({ status, error }) => ({ status, error }));
  const delivered = { status: 200, error: null };
  expect(log).toEqual(
    failpoint === 'webhooks:after-report' ? [delivered] : [{ status: null, error: 'interrupted' }, delivered],
  );
  await receiver.stop();
});
