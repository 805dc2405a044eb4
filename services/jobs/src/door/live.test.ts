import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Output } from '../output/index.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';
import type { Asked } from './asked.ts';
import { createLive } from './live.ts';

// What is written when, by a clock that the test sets; door.test.ts has the rest, over real connections.

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval', 'clearTimeout', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const openLive = (status: 'pending' | 'running' = 'pending') => {
  const sent: string[] = [];
  const outputs: Output[] = [];
  const dropped: object[] = [];
  const response = Object.assign(new EventEmitter(), {
    headersSent: false,
    destroyed: false,
    writableEnded: false,
    writableFinished: false,
    writableLength: 0,
    status: () => response,
    set: () => response,
    flushHeaders: () => {
      response.headersSent = true;
    },
    write: (text: string) => sent.push(text),
    end: () => {
      response.writableEnded = true;
    },
    destroy: () => {
      response.destroyed = true;
    },
  });
  const job = { status, is_funded: 1, created_at_ms: 5_000 } as JobRow;
  const work = {
    queuePosition: async () => 2,
    metrics: { readersDropped: { inc: (why: object) => dropped.push(why) } },
  } as unknown as Work;
  const asked = { kind: 'chat', model: 'm', includesUsage: false } as Asked & { kind: 'chat' };
  const live = createLive(work, asked, 'job', response as never);
  const reader = { read: () => outputs.shift(), end: () => {} };
  live.follow({
    reader,
    job: () => job,
    giveUp: () => {},
    end: () => {},
    outcome: Promise.resolve(),
  } as never);
  return {
    live,
    response,
    sent,
    dropped,
    makes: (content: string) => {
      const chunks = [JSON.stringify({ choices: [{ index: 0, delta: { content } }] })];
      outputs.push({ kind: 'chunks', attempt: 1, seq: 0, chunks });
      live.push();
    },
  };
};

test('nothing is said for 10 s, so that what fails early has a status; from then on something every 10 s', async () => {
  const { live, response, sent, makes } = openLive();
  await vi.advanceTimersByTimeAsync(9_900);
  expect(response.headersSent).toBe(false);
  await vi.advanceTimersByTimeAsync(200);
  expect(sent).toEqual([': queued, position 3\n\n']);
  makes('a');
  await vi.advanceTimersByTimeAsync(9_000);
  expect(sent).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(sent.at(-1)).toMatch(/^: /);
  await vi.advanceTimersByTimeAsync(31_000);
  expect(sent.filter((text) => text.startsWith(':')).length).toBeGreaterThanOrEqual(4);
  live.end();
});

test('who runs is told so', async () => {
  const { live, sent } = openLive('running');
  await vi.advanceTimersByTimeAsync(10_100);
  expect(sent).toEqual([': working\n\n']);
  live.end();
});

test('who reads slowly is written to when there is room; who reads nothing for half a minute is dropped', async () => {
  const { live, response, sent, dropped, makes } = openLive('running');
  response.writableLength = 100_000;
  makes('a');
  expect(sent).toEqual([]);
  response.writableLength = 0;
  response.emit('drain');
  expect(sent).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(40_000);
  expect(response.destroyed).toBe(false);
  response.writableLength = 100_000;
  makes('b');
  await vi.advanceTimersByTimeAsync(31_000);
  expect(response.destroyed).toBe(true);
  expect(dropped).toEqual([{ reason: 'stuck' }]);
  live.end();
});
