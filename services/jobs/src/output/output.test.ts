import { expect, test } from 'vitest';
import type { JobRow } from '../tables.ts';
import type { Watch } from '../watch.ts';
import { createOutput, type Output, type OutputReader } from './index.ts';

type Known = Pick<JobRow, 'status' | 'attempt' | 'events'>;

const JOB = 'job';
const leaseOf = (attempt: number) => ({ job_id: JOB, miner_id: 'miner', attempt });
const chunk = (text: string): string => JSON.stringify({ text });

/** A room with one job, which the test changes. */
const startRoom = (options: { keptPerJobMax?: number; keptMax?: number } = {}) => {
  let job: Known | undefined = { status: 'running', attempt: 1, events: 2 };
  let wake = () => {};
  let nowMs = 0;
  let watching = 0;
  let looks = 0;
  const watch: Watch = {
    open: (_jobId, onChange) => {
      watching += 1;
      wake = onChange;
      return {
        knows: () => {},
        end: () => {
          watching -= 1;
        },
      };
    },
  };
  const output = createOutput({
    watch,
    find: async () => {
      looks += 1;
      return job;
    },
    now: () => nowMs,
    ...options,
  });
  return {
    output,
    change: async (next: Partial<Known>) => {
      job = { ...(job as Known), ...next, events: (job as Known).events + 1 };
      wake();
      await new Promise(setImmediate);
    },
    pass: (ms: number) => {
      nowMs += ms;
    },
    watching: () => watching,
    looks: () => looks,
  };
};
type Room = ReturnType<typeof startRoom>;

const readAll = (reader: OutputReader): Output[] => {
  const all: Output[] = [];
  for (let next = reader.read(); next !== undefined; next = reader.read()) all.push(next);
  return all;
};
const textOf = (outputs: readonly Output[]): string =>
  outputs
    .flatMap((output) => (output.kind === 'chunks' ? output.chunks : []))
    .map((json) => (JSON.parse(json) as { text: string }).text)
    .join('');
const codeOf = (push: ReturnType<Room['output']['push']>): Promise<unknown> =>
  push.then(
    () => 'accepted',
    (error: { code: string }) => error.code,
  );

test('chunks reach all readers, in order, once', async () => {
  const { output } = startRoom();
  let woken = 0;
  const first = output.listen(JOB, () => {
    woken += 1;
  });
  const second = output.listen(JOB, () => {});
  expect(await output.push(leaseOf(1), 0, [chunk('a'), chunk('b')])).toEqual({ listening: true, seq: 2 });
  expect(readAll(first)).toEqual([{ kind: 'chunks', attempt: 1, seq: 0, chunks: [chunk('a'), chunk('b')] }]);
  // The answer to the last request was lost, so it comes again with what is new.
  expect(await output.push(leaseOf(1), 1, [chunk('b'), chunk('c')])).toEqual({ listening: true, seq: 3 });
  expect(readAll(first)).toEqual([{ kind: 'chunks', attempt: 1, seq: 2, chunks: [chunk('c')] }]);
  expect(textOf(readAll(second))).toBe('abc');
  expect(woken).toBeGreaterThanOrEqual(2);
});

test('while nobody listens nothing is kept, and the miner hears so', async () => {
  const { output, pass } = startRoom();
  expect(output.isListened(JOB)).toBe(false);
  expect(await output.push(leaseOf(1), 0, [chunk('a')])).toEqual({ listening: false, seq: 0 });
  expect(output.size().kept).toBe(0);
  const reader = output.listen(JOB, () => {});
  expect(output.isListened(JOB)).toBe(true);
  await output.push(leaseOf(1), 0, [chunk('a'), chunk('b')]);
  expect(textOf(readAll(reader))).toBe('ab');
  reader.end();
  // One whose connection broke comes back and goes on where it was.
  expect(await output.push(leaseOf(1), 2, [chunk('c')])).toEqual({ listening: true, seq: 3 });
  const back = output.listen(JOB, () => {}, { attempt: 1, seq: 2 });
  expect(textOf(readAll(back))).toBe('c');
  back.end();
  pass(10_001);
  expect(await output.push(leaseOf(1), 3, [chunk('d')])).toEqual({ listening: false, seq: 3 });
});

test('one who comes late gets all that is kept', async () => {
  const { output } = startRoom();
  output.listen(JOB, () => {});
  for (let at = 0; at < 100; at++) await output.push(leaseOf(1), at, [chunk(String(at % 10))]);
  expect(textOf(readAll(output.listen(JOB, () => {})))).toBe('0123456789'.repeat(10));
});

test('memory is bounded, and who misses something hears of it', async () => {
  const { output } = startRoom({ keptPerJobMax: 100 * 1024 });
  const slow = output.listen(JOB, () => {});
  await output.push(leaseOf(1), 0, [chunk('first')]);
  expect(textOf(readAll(slow))).toBe('first');
  for (let at = 1; at < 2_000; at++) await output.push(leaseOf(1), at, [chunk('x'.repeat(200))]);
  expect(output.size().kept).toBeLessThanOrEqual(100 * 1024);
  const [gap, ...rest] = readAll(slow);
  expect(gap).toMatchObject({ kind: 'gap', attempt: 1 });
  expect(rest[0]).toMatchObject({ kind: 'chunks', seq: (gap as { seq: number }).seq });
  const last = rest.at(-1) as Extract<Output, { kind: 'chunks' }>;
  expect(last.seq + last.chunks.length).toBe(2_000);
});

test('a hole in what the miner sends is a gap', async () => {
  const { output } = startRoom();
  const reader = output.listen(JOB, () => {});
  await output.push(leaseOf(1), 0, [chunk('a')]);
  await output.push(leaseOf(1), 5, [chunk('f')]);
  expect(readAll(reader).map(({ kind }) => kind)).toEqual(['gap', 'chunks']);
});

test('a lost attempt makes void what it said, and the next begins anew', async () => {
  const { output, change } = startRoom();
  const reader = output.listen(JOB, () => {});
  const idle = output.listen(JOB, () => {});
  await output.push(leaseOf(1), 0, [chunk('half')]);
  expect(textOf(readAll(reader))).toBe('half');
  await change({ status: 'pending' });
  expect(readAll(reader)).toEqual([{ kind: 'restarted', attempt: 1 }]);
  expect(output.size().kept).toBe(0);
  expect(await codeOf(output.push(leaseOf(1), 1, [chunk('late')]))).toBe('STALE_LEASE');
  await change({ status: 'running', attempt: 2 });
  expect(await codeOf(output.push(leaseOf(1), 1, [chunk('late')]))).toBe('STALE_LEASE');
  await output.push(leaseOf(2), 0, [chunk('whole')]);
  expect(readAll(reader)).toEqual([{ kind: 'chunks', attempt: 2, seq: 0, chunks: [chunk('whole')] }]);
  // One that had nothing of the first attempt has nothing to forget.
  expect(readAll(idle)).toEqual([{ kind: 'chunks', attempt: 2, seq: 0, chunks: [chunk('whole')] }]);
});

test('a lease that is newer than what is known is looked up', async () => {
  const room = startRoom();
  const reader = room.output.listen(JOB, () => {});
  await room.output.push(leaseOf(1), 0, [chunk('a')]);
  const before = room.looks();
  // No look for each chunk...
  for (let at = 1; at < 20; at++) await room.output.push(leaseOf(1), at, [chunk('b')]);
  expect(room.looks()).toBe(before);
  // ...and the news may come after the first chunk of the next attempt.
  readAll(reader);
  const changed = room.change({ status: 'running', attempt: 2 });
  await room.output.push(leaseOf(2), 0, [chunk('c')]);
  await changed;
  expect(readAll(reader).map(({ kind }) => kind)).toEqual(['restarted', 'chunks']);
});

test('when the job has ended its miner is told, and nothing stays', async () => {
  const { output, change, watching } = startRoom();
  const reader = output.listen(JOB, () => {});
  await output.push(leaseOf(1), 0, [chunk('a')]);
  await change({ status: 'cancelled' });
  expect(await codeOf(output.push(leaseOf(1), 1, []))).toBe('JOB_ALREADY_ENDED');
  // What was said before the end is still there for the one who has not read it yet.
  expect(textOf(readAll(reader))).toBe('a');
  reader.end();
  expect(output.size()).toEqual({ jobs: 0, kept: 0, readers: 0 });
  expect(await codeOf(output.push(leaseOf(1), 1, []))).toBe('JOB_ALREADY_ENDED');
  expect(output.size().jobs).toBe(0);
  expect(watching()).toBe(0);
});

test('what is kept of all jobs together is bounded', async () => {
  const keptMax = 512 * 1024;
  const output = createOutput({
    watch: { open: () => ({ knows: () => {}, end: () => {} }) },
    find: async () => ({ status: 'running', attempt: 1, events: 2 }),
    keptMax,
  });
  for (let job = 0; job < 20; job++) {
    const lease = { ...leaseOf(1), job_id: `job ${job}` };
    output.listen(lease.job_id, () => {});
    for (let at = 0; at < 100; at++) await output.push(lease, at, [chunk('x'.repeat(2_000))]);
  }
  // Each may keep what one read takes, however many they are.
  expect(output.size().kept).toBeLessThanOrEqual(keptMax + 20 * 64 * 1024);
});
