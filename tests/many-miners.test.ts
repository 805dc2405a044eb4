import { type Client, routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { every, nothingPlayed, playMiner, repeated } from './careful.ts';
import {
  type Coordinator,
  must,
  passes,
  refusal,
  registerMiner,
  STARTING_MS,
  startCoordinator,
  type Work,
} from './coordinator.ts';

const MINERS = 200;
const JOBS = 2_000;
/** Of the miners; each dies with jobs in hand or with a poll open, and says nothing. */
const DYING = MINERS / 3;
const JOBS_PER_POLL = 4;
const SILENCE_SECONDS = 10;

const { jobs, governance, payments } = routes;
let coordinator: Coordinator;

beforeAll(async () => {
  // A voting day and the day of the timelock take a second each.
  coordinator = await startCoordinator({ dispatchers: 2, env: { BUSINESS_TIME_SCALE: '86400' } });
}, STARTING_MS);
afterAll(() => coordinator?.stop());

/** Half a minute of silence is the default; token holders may have less, and this test is shorter for it. */
const voteForSilence = async (seconds: number) => {
  const { admin, anyone } = coordinator;
  const { id: account_id, caller: client } = await coordinator.newAccount(['vote']);
  await eventually(async () =>
    must(
      await admin.call(payments.credit, {
        params: { account_id },
        body: { amount: 1_000, reason: 'to vote with' },
        idempotencyKey: 'the-vote',
      }),
    ),
  );
  await passes(async () => {
    const power = must(
      await anyone.call(governance.votingPower, { params: { user_id: account_id }, query: {} }),
    );
    expect(power.voting_power).toBe(1_000);
  });
  const proposal = must(
    await client.call(governance.propose, {
      body: {
        title: 'Silence is noticed sooner',
        description: 'Work of a miner that died waits a third of the time before another miner gets it.',
        type: 'parameter_change',
        target: { parameter: 'heartbeat_timeout_seconds', value: seconds },
        voting_period_days: 1,
      },
    }),
  );
  must(await client.call(governance.vote, { body: { proposal_id: proposal.id, vote: 'for' } }));
  await passes(async () => {
    const { items } = must(await anyone.call(governance.parameters, {}));
    expect(items.find(({ name }) => name === 'heartbeat_timeout_seconds')?.value).toBe(seconds);
  });
};

test(`${JOBS} jobs, ${MINERS} miners polling at once, a third of them dying: every job ends once, with one receipt`, {
  timeout: 120_000,
}, async () => {
  const { client, client2, anyone } = coordinator;
  await voteForSilence(SILENCE_SECONDS);

  const owners = await Promise.all(Array.from({ length: 4 }, () => coordinator.newAccount(['miner'])));
  const fleet = await Promise.all(
    Array.from({ length: MINERS }, async (_, index) => {
      const { caller } = owners[index % owners.length] as { caller: Client };
      const name = `miner-${index}`;
      const { id } = await registerMiner(caller, { name, concurrency: JOBS_PER_POLL });
      return { caller, id, index };
    }),
  );

  const startedAt = performance.now();
  const leaving = new AbortController();
  const played = nothingPlayed();
  const playing = Promise.all(
    fleet.map(async ({ caller, id, index }) => {
      const isDying = index < DYING;
      let handouts = 0;
      const ended = await playMiner({
        caller,
        minerId: id,
        maxJobs: JOBS_PER_POLL,
        played,
        leaving: leaving.signal,
        work: (items) => {
          handouts += 1;
          // The first, second or third time that it gets work.
          if (isDying && handouts > index % 3) return null;
          return items.map((item) => item.parameters);
        },
      });
      return { caller, ...ended };
    }),
  );

  const bodyOf = (n: number) => ({
    job_type: 'custom',
    parameters: { input: { n } },
    priority: n % 10,
    ttl_seconds: 86_400,
  });
  const submitted: string[] = [];
  const half = JOBS / 2;
  const inBatches = async () => {
    for (let n = 0; n < half; n += 250) {
      const batch = Array.from({ length: 250 }, (_, at) => bodyOf(n + at));
      const { items } = must(await client.call(jobs.submitBatch, { body: { jobs: batch } }));
      submitted.push(...items.map(({ job }) => job?.id as string));
    }
  };
  let next = half;
  const oneByOne = async () => {
    while (next < JOBS) submitted.push(must(await client2.call(jobs.submit, { body: bodyOf(next++) })).id);
  };
  await Promise.all([inBatches(), ...Array.from({ length: 8 }, oneByOne)]);
  const submittedAfter = performance.now() - startedAt;
  expect(new Set(submitted).size).toBe(JOBS);

  const jobsOf = (caller: Client) =>
    every(async (cursor) => must(await caller.call(jobs.list, { query: { limit: 500, ...cursor } })));
  const left = async () => {
    const answers = [client, client2].flatMap((caller) =>
      (['pending', 'running'] as const).map((status) =>
        caller.call(jobs.list, { query: { limit: 5, status } }),
      ),
    );
    return (await Promise.all(answers)).flatMap((answer) => must(answer).items);
  };
  await passes(
    async () =>
      expect((await left()).map(({ id, status, attempt }) => ({ id, status, attempt }))).toEqual([]),
    { withinMs: 60_000, everyMs: 200 },
  );
  const endedAfter = performance.now() - startedAt;
  leaving.abort();
  const ended = await playing;

  const all = [...(await jobsOf(client)), ...(await jobsOf(client2))];
  expect(all.map(({ id }) => id).sort()).toEqual([...submitted].sort());
  for (const { id, status, parameters, result } of all)
    expect({ id, status, result }).toEqual({ id, status: 'completed', result: parameters });

  const ours = new Set(submitted);
  const receipts = (
    await every(async (cursor) =>
      must(await anyone.call(jobs.publicReceipts, { query: { limit: 500, ...cursor } })),
    )
  ).filter(({ job_id }) => ours.has(job_id));
  expect(repeated(receipts.map(({ job_id }) => job_id))).toEqual([]);
  expect(receipts).toHaveLength(JOBS);

  // One lease of each job was believed, and no miner was told yes for another.
  expect([...played.accepted.values()].filter((leases) => leases.size !== 1)).toEqual([]);
  expect(played.accepted.size).toBe(JOBS);

  // The dead come back with what they held: it is somebody else's by now.
  const dead = ended.filter(({ died }) => died);
  const held = dead.flatMap(({ caller, held: items }) => items.map((item: Work) => ({ caller, item })));
  const verdicts = new Map<string, number>();
  for (const { caller, item } of held) {
    const body = {
      job_id: item.id,
      lease: item.lease,
      status: 'completed' as const,
      result: 'from the grave',
    };
    const code = refusal(await caller.call(jobs.result, { body }));
    verdicts.set(code, (verdicts.get(code) ?? 0) + 1);
  }
  expect([...verdicts.keys()]).toEqual(['409 STALE_LEASE']);
  expect(dead.length).toBeGreaterThan(DYING / 2);
  const again = all.filter(({ attempt }) => attempt > 1);
  expect(again.length).toBeGreaterThanOrEqual(new Set(held.map(({ item }) => item.id)).size);

  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
  console.log(
    `${JOBS} jobs submitted in ${seconds(submittedAfter)}, all ended after ${seconds(endedAfter)}; ` +
      `${dead.length} miners died holding ${held.length} jobs, ${again.length} jobs ran again`,
  );
});
