import { readFileSync } from 'node:fs';
import { connectRedis, createLog } from '@aitbc/chassis';
import { jobsRoutes } from '@aitbc/contracts';
import { type Broker, findBroker, scratchDirectory } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { onlyFor, startStack, workFor } from '../stack.fixture.ts';

// Without any Redis `npm start` takes one written in JavaScript, which knows fewer commands.
let broker: Broker;
beforeAll(async () => {
  // Nothing is on this PATH, so it is the last that is left.
  broker = await findBroker({ dataDir: scratchDirectory(), log: () => {}, env: { PATH: '' } });
});
afterAll(() => broker.stop());

test('the broker that stands in for Redis is what answers here', () => {
  expect(broker.kind).toBe('js-redis-server');
});

/** Asked for only where more than 256 cells of a group have work: far from what this broker is for. */
const UNKNOWN_AND_RARE = ['SRANDMEMBER'];

test('it knows every command of the scripts, within a script', async () => {
  const text = ['./pool.lua', './waiting.lua']
    .map((name) => readFileSync(new URL(name, import.meta.url), 'utf8'))
    .join('\n');
  const commands = [...new Set([...text.matchAll(/\bcall\('([A-Z]+)'/g)].map(([, name]) => name as string))];
  expect(commands.length).toBeGreaterThan(20);
  const redis = connectRedis(broker.url, createLog('test', 'silent'), { enableOfflineQueue: true });
  const unknown: string[] = [];
  for (const command of commands) {
    // With the right number of arguments it comes as far as saying whether a script may call it.
    const answers = await redis.eval(
      `local said = {}
      for count = 0, 4 do
        local answer = redis.pcall('${command}', unpack({ 'key', '1', '1', '1' }, 1, count))
        said[#said + 1] = type(answer) == 'table' and answer.err or 'done'
      end
      return said`,
      0,
    );
    if ((answers as string[]).some((answer) => /unknown|not allowed/i.test(answer))) unknown.push(command);
  }
  redis.disconnect();
  expect(unknown).toEqual(UNKNOWN_AND_RARE);
});

test('it writes several at once, and reads them so', async () => {
  const redis = connectRedis(broker.url, createLog('test', 'silent'), { enableOfflineQueue: true });
  const answers = await redis.eval(
    `return {
      redis.call('ZADD', 'several', '2', 'b', '1', 'a', '1', 'c'), redis.call('ZADD', 'several', 'XX', 3, 'a', 4, 'd'),
      redis.call('ZRANGE', 'several', '0', 1, 'WITHSCORES'), redis.call('ZREM', 'several', 'b', 'c', 'd'),
      redis.call('EXISTS', 'several', 'none'), redis.call('ZREM', 'several', 'a'), redis.call('EXISTS', 'several'),
      redis.call('MSET', 'first', 'x', 'second', 'y'), redis.call('MGET', 'second', 'none', 'first'),
    }`,
    0,
  );
  redis.disconnect();
  expect(answers).toEqual([3, 0, ['c', '1', 'b', '2'], 2, 1, 1, 0, 'OK', ['y', null, 'x']]);
});

test('jobs are matched there, whichever comes first', async () => {
  const stack = await startStack({ redisUrl: broker.url });
  try {
    const client = stack.client();
    const miner = await stack.miner(onlyFor('stand-in'));
    const early = await client.submit(workFor('stand-in'));
    const first = await miner.take();
    expect(first.id).toBe(early.id);
    const polling = miner.poll({ wait_seconds: 20 });
    const late = await client.submit({
      ...workFor('stand-in'),
      constraints: { region: 'eu' },
    });
    const next = await client.submit(workFor('stand-in'));
    expect((await polling).map(({ id }) => id)).toEqual([next.id]);
    expect((await miner.complete(first)).status).toBe(200);
    expect((await client.http.call(jobsRoutes.cancel, { params: { job_id: late.id } })).status).toBe(200);
  } finally {
    await stack.stop();
  }
});
