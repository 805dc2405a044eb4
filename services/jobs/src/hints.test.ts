import { connectRedis, createLog, createPostal } from '@aitbc/chassis';
import { inboxQueue, newId } from '@aitbc/contracts';
import { eventually, scratchRedis, TEST_PREFIX, TEST_SECRET } from '@aitbc/testing';
import { afterEach, expect, test } from 'vitest';
import { requirementOf } from './dispatcher/match.ts';
import { createHints } from './hints.ts';

const log = createLog('jobs', 'silent');
const postal = createPostal({ SECRET_KEY: TEST_SECRET, REDIS_PREFIX: TEST_PREFIX });
const bull = `${TEST_PREFIX}:bull:${inboxQueue('dispatcher')}`;
let stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  stops = [];
});

/** @param jobs what waits; undefined where other processes queue jobs too */
const setUp = async (jobs?: { wait: boolean }, heldMs = 3_600_000) => {
  const redis = connectRedis(await scratchRedis(), log);
  stops.push(() => redis.disconnect());
  await eventually(() => redis.status === 'ready');
  const looks: string[] = [];
  const hints = createHints({
    redis,
    postal,
    stream: 'a process of jobs',
    log,
    heldMs,
    hasWork:
      jobs &&
      (async () => {
        looks.push('look');
        return jobs.wait;
      }),
  });
  stops.push(() => hints.close());
  /** Names of the messages of each entry, the first entry first. Nobody takes them. */
  const entries = async (): Promise<string[][]> => {
    const ids = (await redis.lrange(`${bull}:wait`, 0, -1)).reverse();
    const texts = await Promise.all(ids.map((id) => redis.hget(`${bull}:${id}`, 'data')));
    return texts.map((text) =>
      JSON.parse(JSON.parse(text as string).text).messages.map(({ name }: { name: string }) => name),
    );
  };
  return { hints, entries, looks };
};

const poll = () => ({
  epoch: 1,
  poll_id: newId(),
  miner_id: newId(),
  account_id: newId(),
  slots: 1,
  kind: 'a kind',
  rank: 0,
});
const job = () => ({
  job_id: newId(),
  account_id: newId(),
  requirement: requirementOf({ job_type: 'ocr', model: null, constraints: {}, pays_minor: 0 }),
  pays_minor: 0,
  priority: 0,
  avoid: [],
});

test('who is free is told together with the next job', async () => {
  const { hints, entries, looks } = await setUp({ wait: false });
  hints.opened(poll());
  await eventually(() => looks.length > 0);
  hints.queued(job());
  await hints.drain();
  expect(await entries()).toEqual([['jobs.capacity_opened', 'jobs.queued']]);
});

test('without a job it is told after a while all the same', async () => {
  const { hints, entries } = await setUp({ wait: false }, 50);
  const opened = poll();
  hints.opened(opened);
  hints.closed({ poll_id: opened.poll_id });
  await eventually(async () =>
    expect(await entries()).toEqual([['jobs.capacity_opened', 'jobs.capacity_closed']]),
  );
});

test.each([
  ['a job waits', { wait: true }],
  ['other processes queue jobs too', undefined],
])('it leaves at once when %s', async (_, jobs) => {
  const { hints, entries } = await setUp(jobs);
  hints.opened(poll());
  await eventually(async () => expect(await entries()).toHaveLength(1));
});

test('what is held leaves when all is to be told', async () => {
  const { hints, entries, looks } = await setUp({ wait: false });
  hints.opened(poll());
  await eventually(() => looks.length > 0);
  await hints.drain();
  expect(await entries()).toHaveLength(1);
});
