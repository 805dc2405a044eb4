import { leastRights } from '@aitbc/chassis/redis';
import { routes } from '@aitbc/contracts';
import {
  aclUser,
  eventually,
  hasRedisServer,
  scratchDirectory,
  startCluster,
  startSentinel,
} from '@aitbc/testing';
import { afterEach, expect, test } from 'vitest';
import { every, nothingPlayed, persist, playMiner } from './careful.ts';
import { type Coordinator, must, passes, registerMiner, startCoordinator } from './coordinator.ts';

// The whole system on a Redis of several servers, as a user that may do what is documented and no more. A master is
// killed under load; nobody tells the system, and every job ends once.

const JOBS = 60;
const PASSWORD = 'of-a-user-with-few-rights';
const { jobs } = routes;
const settings = [aclUser('coordinator', PASSWORD, leastRights('aitbc'))];
const asUser = (url: string) => url.replace('://', `://coordinator:${PASSWORD}@`);

let stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  stops = [];
});

const start = async (redisUrl: string): Promise<Coordinator> => {
  const coordinator = await startCoordinator({ dispatchers: 2, env: { REDIS_URL: asUser(redisUrl) } });
  stops.push(coordinator.stop);
  return coordinator;
};

/** Half of the jobs, then `strike`, then the others. */
const runThrough = async (
  { client, miner, anyone }: Coordinator,
  strike: () => Promise<void>,
): Promise<void> => {
  const fleet = [await registerMiner(miner, { name: 'one' }), await registerMiner(miner, { name: 'two' })];
  const leaving = new AbortController();
  const played = nothingPlayed();
  const playing = Promise.all(
    fleet.map(({ id }) =>
      playMiner({
        caller: miner,
        minerId: id,
        maxJobs: 4,
        played,
        leaving: leaving.signal,
        work: (items) => items.map((item) => ({ id: item.id })),
      }),
    ),
  );
  const submit = async (n: number) =>
    must(
      await persist((signal) =>
        client.call(jobs.submit, {
          body: { job_type: 'custom', parameters: { input: { n } }, timeout_seconds: 10, max_attempts: 10 },
          signal,
          idempotencyKey: `job-${n}`,
        }),
      ),
    ).id;
  const submitted: string[] = [];
  for (let n = 0; n < JOBS / 2; n += 1) submitted.push(await submit(n));
  await strike();
  for (let n = JOBS / 2; n < JOBS; n += 1) submitted.push(await submit(n));

  const list = () =>
    every(async (cursor) =>
      must(await persist(() => client.call(jobs.list, { query: { limit: 500, ...cursor } }))),
    );
  await passes(
    async () => {
      const open = (await list()).filter(({ status }) => status !== 'completed');
      expect(open.map(({ id, status, attempt, error }) => ({ id, status, attempt, error }))).toEqual([]);
    },
    { withinMs: 60_000, everyMs: 250 },
  );
  leaving.abort();
  await playing;
  expect((await list()).map(({ id }) => id).sort()).toEqual([...submitted].sort());
  const receipts = must(await anyone.call(jobs.publicReceipts, { query: { limit: 500 } })).items;
  expect(receipts.map(({ job_id }) => job_id).sort()).toEqual([...submitted].sort());
  expect([...played.accepted.values()].filter((leases) => leases.size !== 1)).toEqual([]);
  expect(played.accepted.size).toBe(JOBS);
};

/** Nothing was refused for want of a right, and what is found wrong at the start was nothing. */
const fewRightsWereEnough = ({ said }: Coordinator): void => {
  const refusals = said.filter(({ line }) => /NOPERM|lacks rights|can't run this command/.test(line));
  expect(refusals).toEqual([]);
};

test.skipIf(!hasRedisServer)(
  'a cluster: the master with the dispatch index is killed and comes back',
  {
    timeout: 120_000,
  },
  async () => {
    const cluster = await startCluster(scratchDirectory(), { settings });
    stops.push(cluster.stop);
    const coordinator = await start(cluster.url);
    await runThrough(coordinator, async () => {
      const holder = cluster.masterOf('aitbc:{aitbc:dispatch}:generation');
      await holder.kill();
      await eventually(async () => {
        // The limits go on meanwhile: counted in Redis where that answers, and alone where it does not.
        const answer = await coordinator.client.call(jobs.list, { query: { limit: 1 } });
        return answer.ok;
      });
      await holder.start();
    });
    fewRightsWereEnough(coordinator);
  },
);

test.skipIf(!hasRedisServer)(
  'Sentinels: the master is killed, another one takes over',
  { timeout: 120_000 },
  async () => {
    const sentinel = await startSentinel(scratchDirectory(), { settings });
    stops.push(sentinel.stop);
    const coordinator = await start(sentinel.url);
    const first = sentinel.master();
    await runThrough(coordinator, () => first.kill());
    expect(sentinel.master()).not.toBe(first);
    fewRightsWereEnough(coordinator);
  },
);
