import { readFileSync } from 'node:fs';
import { routes } from '@aitbc/contracts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SHAPES, workOfJobs } from '../bench/work-table.ts';
import { type Coordinator, must, STARTING_MS, startCoordinator } from './coordinator.ts';

// What a job may cost, counted: the same on a busy machine. `npm run bench -- --part work` prints what the counts are made of.
// The figures of the budget are those of a quiet machine and room for a busy one, where commits and queue entries are less full:
// a third for statements, a half for Redis. Whoever makes a job cheaper lowers them.

interface Budget {
  readonly statements: number;
  readonly redisCommands: number;
}
const budget = JSON.parse(readFileSync(new URL('../bench/budget.json', import.meta.url), 'utf8')) as Record<
  (typeof SHAPES)[number],
  Budget
>;

let coordinator: Coordinator;
beforeAll(async () => {
  // A broker of its own: its commands are counted.
  coordinator = await startCoordinator({ ownBroker: true, dispatchers: 2 });
}, STARTING_MS);
afterAll(() => coordinator?.stop());

test('a job costs no more than its budget of statements and Redis commands', {
  timeout: 120_000,
}, async () => {
  const { stack, keys, client, admin } = coordinator;
  const { user_id: account_id } = must(await client.call(routes.gateway.me, {}));
  must(
    await admin.call(routes.payments.credit, {
      params: { account_id },
      body: { amount: 1_000, reason: 'work' },
    }),
  );
  const found = await workOfJobs(stack, keys, { single: 300, asking: 300, batch: 2_000, unpaid: 100 });
  for (const shape of SHAPES) {
    const { statements, redisCommands } = found[shape];
    expect
      .soft([shape, 'statements', statements, statements <= budget[shape].statements])
      .toEqual([shape, 'statements', statements, true]);
    expect
      .soft([shape, 'redisCommands', redisCommands, redisCommands <= budget[shape].redisCommands])
      .toEqual([shape, 'redisCommands', redisCommands, true]);
  }
});
