import { jobsRoutes } from '@aitbc/contracts';
import { eventually, timeLimit } from '@aitbc/testing';
import { afterEach, describe, expect, test } from 'vitest';
import { onlyFor, type Stack, startStack, workFor } from './stack.fixture.ts';

let stack: Stack;
afterEach(() => stack.stop());

type Miner = Awaited<ReturnType<Stack['miner']>>;

/** A miner that works until told to stop; one that is not faithful dies with the first jobs it gets. */
const work = async (miner: Miner, options: { isFaithful: boolean; signal: AbortSignal }): Promise<number> => {
  let completed = 0;
  while (!options.signal.aborted) {
    const jobs = await miner.poll({ wait_seconds: 3, max_jobs: 4 }).catch(() => []);
    if (jobs.length > 0 && !options.isFaithful) {
      await miner.change({ status: 'inactive' });
      return completed;
    }
    for (const job of jobs) {
      const reply = await miner.complete(job, { attempt: job.attempt });
      if (reply.status === 200) completed += 1;
    }
  }
  return completed;
};

const submitMany = async (count: number, name: string, clients = 4): Promise<string[]> => {
  const ids: string[] = [];
  for (let at = 0; at < clients; at++) {
    const client = stack.client();
    const jobs = Array.from({ length: count / clients }, () => workFor(name));
    const reply = await client.http.call(jobsRoutes.submitBatch, { body: { jobs } });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    for (const item of reply.body.items) ids.push(item.job?.id as string);
  }
  return ids;
};

/** Every receipt there is, by job. */
const receiptsByJob = async (): Promise<Map<string, number>> => {
  const counts = new Map<string, number>();
  const { http } = stack.client();
  let cursor: string | undefined;
  do {
    const reply = await http.call(jobsRoutes.publicReceipts, {
      query: { limit: 500, ...(cursor === undefined ? {} : { cursor }) },
    });
    if (!reply.ok) throw new Error('no receipts');
    for (const receipt of reply.body.items) counts.set(receipt.job_id, (counts.get(receipt.job_id) ?? 0) + 1);
    cursor = reply.body.next_cursor ?? undefined;
  } while (cursor !== undefined);
  return counts;
};

const allCompleted = (ids: readonly string[]) =>
  eventually(
    () => {
      const ended = new Set(
        stack.toPayments.flatMap((m) => (m.name === 'jobs.ended' ? [m.payload.job_id] : [])),
      );
      return ids.every((id) => ended.has(id));
    },
    { withinMs: timeLimit(90_000), everyMs: 100 },
  );

const expectEachOnce = async (ids: readonly string[]): Promise<void> => {
  const receipts = await receiptsByJob();
  expect(receipts.size).toBe(ids.length);
  for (const id of ids) expect(receipts.get(id)).toBe(1);
  const ended = stack.toPayments.filter((m) => m.name === 'jobs.ended');
  expect(ended).toHaveLength(ids.length);
  for (const message of ended) expect(message.payload).toMatchObject({ status: 'completed' });
};

describe('many at once', () => {
  test(
    '200 miners, two dispatchers, 2,000 jobs, a third of the miners dying: each job has one receipt',
    async () => {
      stack = await startStack({ dispatchers: 2 });
      const miners: Miner[] = [];
      for (let at = 0; at < 200; at++) miners.push(await stack.miner(onlyFor('swarm')));
      const stop = new AbortController();
      const working = miners.map((miner, at) =>
        work(miner, { isFaithful: at % 3 !== 0, signal: stop.signal }),
      );
      const ids = await submitMany(2_000, 'swarm');
      await allCompleted(ids);
      stop.abort();
      const completed = await Promise.all(working);
      expect(completed.reduce((sum, count) => sum + count, 0)).toBe(2_000);
      await expectEachOnce(ids);
    },
    timeLimit(120_000),
  );

  test(
    'Redis is wiped again and again, and a dispatcher is replaced: nothing lost, nothing twice',
    async () => {
      stack = await startStack({ dispatchers: 2 });
      const miners: Miner[] = [];
      for (let at = 0; at < 20; at++) miners.push(await stack.miner(onlyFor('wiped')));
      const ids = await submitMany(400, 'wiped');
      // All are known before the first wipe: what the other services say is theirs to say again, not ours to lose.
      for (const miner of miners) {
        for (const job of await miner.poll({ wait_seconds: 0 })) await miner.complete(job);
      }
      const stop = new AbortController();
      const working = miners.map((miner) => work(miner, { isFaithful: true, signal: stop.signal }));
      for (let at = 0; at < 3; at++) {
        await stack.peers.redis.flushdb();
        const [first] = stack.dispatchers.splice(0, 1);
        await first?.stop();
        stack.dispatchers.push(await stack.startDispatch());
        ids.push(...(await submitMany(40, 'wiped')));
      }
      await allCompleted(ids);
      stop.abort();
      await Promise.all(working);
      await expectEachOnce(ids);
    },
    timeLimit(120_000),
  );
});
