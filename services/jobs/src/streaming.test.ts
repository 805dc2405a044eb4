import { CALLER_HEADER, deriveKey, signCaller } from '@aitbc/chassis';
import { jobsRoutes, newId } from '@aitbc/contracts';
import { eventually, TEST_SECRET } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { onlyFor, type Stack, startStack, workFor } from './stack.fixture.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

interface Sent {
  readonly id: string;
  readonly event: string;
  readonly data: Record<string, unknown>;
}

/** One watcher, and what it has seen. */
const watch = async (client: ReturnType<Stack['client']>, jobId: string, lastEventId?: string) => {
  const path = `/v1/client/jobs/${jobId}/events`;
  const envelope = { caller: client.caller, request_id: newId(), at_ms: Date.now() };
  const leaving = new AbortController();
  const response = await fetch(stack.url + path, {
    headers: {
      [CALLER_HEADER]: signCaller(deriveKey(TEST_SECRET, 'caller'), envelope, 'GET', path),
      ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
    },
    signal: leaving.signal,
  });
  const seen: Sent[] = [];
  const read = async () => {
    let rest = '';
    for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const blocks = (rest + piece).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const [id, event, data] = block.split('\n').map((line) => line.split(/: (.*)/s)[1] ?? '');
        if (block.startsWith('id:') && id !== undefined && event !== undefined)
          seen.push({ id, event, data: JSON.parse(data as string) });
      }
    }
  };
  const ended = read().catch(() => {});
  return {
    status: response.status,
    seen: seen as readonly Sent[],
    ended,
    names: () => seen.map(({ event }) => event),
    text: () =>
      seen
        .filter(({ event }) => event === 'delta')
        .flatMap(({ data }) => data.chunks as { text: string }[])
        .map(({ text }) => text)
        .join(''),
    leave: () => leaving.abort(),
  };
};

type Lease = { id: string; lease: string };
type Miner = Awaited<ReturnType<Stack['miner']>>;
const send = async (miner: Miner, { id, lease }: Lease, seq: number, ...texts: string[]) => {
  const body = { job_id: id, lease, seq, chunks: texts.map((text) => ({ text })) };
  return miner.http.call(jobsRoutes.stream, { body });
};

test('a watcher sees what is made while it is made, and then the result', async () => {
  const client = stack.client();
  const miner = await stack.miner(onlyFor('live'));
  const job = await client.submit(workFor('live'));
  const watcher = await watch(client, job.id);
  const work = await miner.take();
  expect(work.stream).toBe(true);
  expect(await send(miner, work, 0, 'Ray')).toMatchObject({ status: 200, body: { listening: true, seq: 1 } });
  await eventually(() => watcher.text() === 'Ray');
  await send(miner, work, 1, 'leigh', '.');
  await eventually(() => watcher.text() === 'Rayleigh.');
  await miner.complete(work, { text: 'Rayleigh.' });
  await watcher.ended;
  expect(watcher.names()).toEqual(['status', 'status', 'delta', 'delta', 'end']);
  expect(watcher.seen.at(-1)?.data).toMatchObject({ type: 'completed', result: { text: 'Rayleigh.' } });
  expect(await send(miner, work, 3, 'more')).toMatchObject({
    status: 409,
    body: { error: { code: 'JOB_ALREADY_ENDED' } },
  });
});

test('a watcher that comes while it runs gets all from the beginning, and one that comes back what is new', async () => {
  const client = stack.client();
  const miner = await stack.miner(onlyFor('late'));
  const job = await client.submit(workFor('late'));
  const work = await miner.take();
  expect(work.stream).toBe(false);
  // Nobody listens: nothing is kept, and the miner goes on asking.
  expect(await send(miner, work, 0, 'a')).toMatchObject({ body: { listening: false, seq: 0 } });
  const first = await watch(client, job.id);
  await eventually(
    async () => (await send(miner, work, 0, 'a', 'b')).status === 200 && first.text() === 'ab',
  );
  const lastId = first.seen.at(-1)?.id as string;
  first.leave();
  await first.ended;
  expect(await send(miner, work, 2, 'c')).toMatchObject({ body: { listening: true, seq: 3 } });
  const again = await watch(client, job.id, lastId);
  await eventually(() => again.text() === 'c');
  expect(again.names()).toEqual(['delta']);
  const fresh = await watch(client, job.id);
  await eventually(() => fresh.text() === 'abc');
  await miner.complete(work, { text: 'abc' });
  await Promise.all([again.ended, fresh.ended]);
  expect(again.names()).toEqual(['delta', 'end']);
  const over = await watch(client, job.id, again.seen.at(-1)?.id as string);
  expect(over.status).toBe(204);
});

test('of a lost attempt nothing is kept, and the watcher is told', async () => {
  const client = stack.client();
  const miner = await stack.miner(onlyFor('lost'));
  const job = await client.submit(workFor('lost'));
  const watcher = await watch(client, job.id);
  const first = await miner.take();
  await send(miner, first, 0, 'half an');
  await eventually(() => watcher.text() === 'half an');
  const error = { code: 'OOM', message: 'no memory' };
  await miner.report({ job_id: first.id, lease: first.lease, status: 'failed', retryable: true, error });
  await eventually(() => watcher.names().includes('restarted'));
  const second = await miner.take();
  expect(second.stream).toBe(true);
  expect(await send(miner, first, 1, ' answer')).toMatchObject({ body: { error: { code: 'STALE_LEASE' } } });
  await send(miner, second, 0, 'whole');
  await miner.complete(second, { text: 'whole' });
  await watcher.ended;
  const deltas = watcher.seen.filter(({ event }) => event === 'delta' || event === 'restarted');
  expect(deltas.map(({ data }) => [data.type, data.attempt])).toEqual([
    ['delta', 1],
    ['restarted', 1],
    ['delta', 2],
  ]);
});

test('a cancelled job stops its miner with the next chunk', async () => {
  const client = stack.client();
  const miner = await stack.miner(onlyFor('cancelled'));
  const job = await client.submit(workFor('cancelled'));
  const watcher = await watch(client, job.id);
  const work = await miner.take();
  await send(miner, work, 0, 'a');
  await client.http.call(jobsRoutes.cancel, { params: { job_id: job.id } });
  expect(await send(miner, work, 1)).toMatchObject({
    status: 409,
    body: { error: { code: 'JOB_ALREADY_ENDED' } },
  });
  await watcher.ended;
  expect(watcher.names().at(-1)).toBe('end');
});

test('chunks are bounded, and taken from the holder alone', async () => {
  const client = stack.client();
  const miner = await stack.miner(onlyFor('bounds'));
  const other = await stack.miner(onlyFor('bounds of another'));
  await client.submit(workFor('bounds'));
  const work = await miner.take();
  expect(await send(miner, work, 0, 'x'.repeat(70_000))).toMatchObject({
    status: 422,
    body: { error: { details: { issues: [{ path: 'chunks.0' }] } } },
  });
  expect(await send(miner, work, 0, ...Array(257).fill('x'))).toMatchObject({ status: 422 });
  expect(await send(other, work, 0, 'x')).toMatchObject({ status: 404 });
  expect(await send(miner, { ...work, lease: `${work.lease}x` }, 0, 'x')).toMatchObject({ status: 404 });
  await miner.complete(work);
});

test('one request carries several jobs, and each is answered for itself', async () => {
  const client = stack.client();
  const miner = await stack.miner(onlyFor('several'));
  const [listened, alone] = [
    await client.submit(workFor('several')),
    await client.submit(workFor('several')),
  ];
  const watcher = await watch(client, listened.id);
  const taken = [await miner.take(), await miner.take()];
  const of = (jobId: string) => {
    const { id, lease } = taken.find((one) => one.id === jobId) as Lease;
    return { job_id: id, lease, seq: 0, chunks: [{ text: 'a' }] };
  };
  const streams = [
    of(listened.id),
    of(alone.id),
    { ...of(alone.id), lease: 'of nobody' },
    { ...of(alone.id), seq: -1 },
  ];
  const { body } = await miner.http.call(jobsRoutes.stream, { body: { streams } });
  expect(body).toMatchObject({
    items: [
      { job_id: listened.id, status: 200, verdict: { listening: true, seq: 1 } },
      { job_id: alone.id, status: 200, verdict: { listening: false, seq: 0 } },
      { job_id: alone.id, status: 404, error: { code: 'NOT_FOUND' } },
      { job_id: alone.id, status: 422, error: { code: 'VALIDATION_ERROR' } },
    ],
  });
  await eventually(() => watcher.text() === 'a');
  for (const one of taken) await miner.complete(one);
  await watcher.ended;
});

test('a job of which much is said costs as much memory as is kept, however slow its watchers are', async () => {
  const client = stack.client();
  const miner = await stack.miner(onlyFor('slow'));
  const job = await client.submit(workFor('slow'));
  const path = `/v1/client/jobs/${job.id}/events`;
  const envelope = { caller: client.caller, request_id: newId(), at_ms: Date.now() };
  const signed = signCaller(deriveKey(TEST_SECRET, 'caller'), envelope, 'GET', path);
  // It never reads its body.
  const slow = await fetch(stack.url + path, { headers: { [CALLER_HEADER]: signed } });
  const work = await miner.take();
  const piece = 'x'.repeat(60_000);
  let seq = 0;
  for (let at = 0; at < 60; at++) {
    const reply = await send(miner, work, seq, piece, piece, piece, piece);
    seq = (reply.body as { seq: number }).seq;
  }
  await miner.complete(work, { text: 'long' });
  // 14 MB were said: what lies in the sockets, what is kept, a gap between them, and the end.
  const text = await slow.text();
  expect(text.length).toBeLessThan(9_000_000);
  expect(text).toContain('event: gap');
  expect(text).toContain('event: end');
});
