import { createLog } from '@aitbc/chassis';
import { hasRedisServer, scratchDirectory, startCluster } from '@aitbc/testing';
import { expect, test } from 'vitest';
import { createRateLimits } from './rate-limits.ts';

test.skipIf(!hasRedisServer)(
  'two gateways on a cluster count together, each budget at its own master',
  async () => {
    const cluster = await startCluster(scratchDirectory());
    const open = () =>
      createRateLimits({ redisUrl: cluster.url, redisPrefix: 'test', log: createLog('test', 'silent') });
    const [one, two] = [open(), open()];
    try {
      await one.start();
      await two.start();
      const budgets = Array.from({ length: 12 }, (_, n) => ({
        name: 'client',
        principal: `p${n}`,
        limit: 4,
      }));
      // Many at once: they travel in pipelines, one for each master.
      const taken = await Promise.all(budgets.flatMap((budget) => [one.take(budget), two.take(budget)]));
      expect(taken.filter(({ second }) => second === null)).toEqual([]);
      const next = await Promise.all(budgets.map((budget) => one.take(budget)));
      expect(next.map(({ remaining }) => remaining)).toEqual(budgets.map(() => 1));
      const masters = budgets.map(({ principal }) => cluster.masterOf(`test:rate:client:${principal}`));
      expect(new Set(masters).size).toBe(3);
    } finally {
      one.stop();
      two.stop();
      await cluster.stop();
    }
  },
);
