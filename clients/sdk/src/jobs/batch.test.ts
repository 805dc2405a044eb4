import { afterEach, expect, test } from 'vitest';
import { Aitbc, type BatchItem, type JobSubmission, type Submitted } from '../index.ts';
import { type Asked, cuts, scriptedServer } from '../testing/scripted-server.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

interface Stored {
  id: string;
  text: string;
  labels: string[];
  status: string;
}
/**
 * A small coordinator that keeps the answer of each Idempotency-Key.
 * @param refusal what is wrong with a job, if anything
 * @param before done to a batch before it is looked at; true when it was answered
 */
const coordinator = async (
  refusal: (text: string, time: number) => { status: number; code: string } | undefined = () => undefined,
  before: (asked: Asked, time: number) => 'cut' | 'cut after' | undefined = () => undefined,
) => {
  const jobs: Stored[] = [];
  const answers = new Map<string, unknown>();
  const seen = new Map<string, number>();
  let batches = 0;
  let looks = 0;
  const server = await scriptedServer((response, asked) => {
    const say = (body: unknown) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(body));
    };
    if (asked.method === 'POST') {
      const what = before(asked, batches++);
      if (what === 'cut') return cuts(response, asked);
      const key = String(asked.headers['idempotency-key']);
      const answer = answers.get(key) ?? {
        items: (asked.body.jobs as { parameters: { text: string }; labels?: string[] }[]).map((job) => {
          const { text } = job.parameters;
          const time = (seen.get(text) ?? 0) + 1;
          seen.set(text, time);
          const error = refusal(text, time);
          if (error !== undefined)
            return { status: error.status, error: { code: error.code, message: 'no', details: {} } };
          const made = { id: `id-${jobs.length}`, text, labels: job.labels ?? [], status: 'running' };
          jobs.push(made);
          return { status: 201, job: made };
        }),
      };
      answers.set(key, answer);
      if (what === 'cut after') return cuts(response, asked);
      return say(answer);
    }
    if (asked.path.includes('/status')) return say({ status: 'completed' });
    looks++;
    const label = new URL(asked.path, 'http://x').searchParams.get('label') ?? '';
    const items = jobs.filter(({ labels }) => labels.includes(label)).reverse();
    const body = { items: structuredClone(items), next_cursor: null };
    // Of all that run, every second one ends between two looks, the last one first.
    for (const [at, job] of items.entries()) if (at % 2 === 0 || looks % 2 === 0) job.status = 'completed';
    return say(body);
  });
  open.push(server);
  return { server, jobs, client: new Aitbc({ baseUrl: server.url, apiKey: 'k' }) };
};
const submissions = (count: number): JobSubmission[] =>
  Array.from({ length: count }, (_, at) => ({
    job_type: 'language_detection',
    parameters: { text: `t${at}` },
  }));
const all = async (items: AsyncIterable<BatchItem>): Promise<BatchItem[]> => {
  const seen: BatchItem[] = [];
  for await (const item of items) seen.push(item);
  return seen;
};
const textOf = (item: BatchItem) => (item.job as unknown as Stored | undefined)?.text;

test('chunks are submitted ahead, results come in order', async () => {
  const { server, client, jobs } = await coordinator();
  const items = await all(client.jobs.batch(submissions(25), { chunkSize: 10, key: 'b' }));
  expect(items.map(textOf)).toEqual(submissions(25).map((_, at) => `t${at}`));
  expect(items.map(({ index }) => index)).toEqual(Array.from({ length: 25 }, (_, at) => at));
  expect(items.every(({ job, error }) => job?.status === 'completed' && error === undefined)).toBe(true);
  const posts = server.asked.filter(({ method }) => method === 'POST');
  expect(posts.map(({ body }) => body.jobs.length)).toEqual([10, 10, 5]);
  expect(posts.map(({ headers }) => headers['idempotency-key'])).toEqual(['b-0.0', 'b-1.0', 'b-2.0']);
  expect(jobs[0]?.labels).toEqual(['b-0']);
});

test('a chunk whose answer was lost makes each job once', async () => {
  const { jobs, client } = await coordinator(undefined, (_, time) =>
    time === 0 ? 'cut' : time === 1 ? 'cut after' : undefined,
  );
  expect((await all(client.jobs.batch(submissions(5)))).map(textOf)).toEqual(['t0', 't1', 't2', 't3', 't4']);
  expect(jobs).toHaveLength(5);
});

test('one that is refused stops no other; one that finds it full is sent again, with another key', async () => {
  const { server, client } = await coordinator((text, time) =>
    text === 't1'
      ? { status: 422, code: 'VALIDATION_ERROR' }
      : text === 't2' && time === 1
        ? { status: 503, code: 'OVERLOADED' }
        : undefined,
  );
  const items = await all(client.jobs.batch(submissions(4), { key: 'b' }));
  expect(items.map(textOf)).toEqual(['t0', undefined, 't2', 't3']);
  expect(items[1]?.error).toMatchObject({
    name: 'InvalidRequestError',
    code: 'VALIDATION_ERROR',
    status: 422,
  });
  const posts = server.asked.filter(({ method }) => method === 'POST');
  expect(posts.map(({ headers, body }) => [headers['idempotency-key'], body.jobs.length])).toEqual([
    ['b-0.0', 4],
    ['b-0.1', 1],
  ]);
});

test('a chunk is never larger than a body may be', async () => {
  const { server, client } = await coordinator();
  const large = submissions(9).map((job, at) => ({
    ...job,
    parameters: { text: `t${at}`, x: 'ü'.repeat(500_000) },
  }));
  expect(await all(client.jobs.batch(large, { wait: false }))).toHaveLength(9);
  const posts = server.asked.filter(({ method }) => method === 'POST');
  expect(posts.map(({ body }) => body.jobs.length)).toEqual([3, 3, 3]);
  expect(Math.max(...posts.map(({ headers }) => Number(headers['content-length'])))).toBeLessThan(
    4 * 1024 * 1024,
  );
});

test('one that is continued submits nothing that is known, and gives nothing that was given', async () => {
  const { server, jobs, client } = await coordinator();
  const told: Submitted[] = [];
  const options = {
    chunkSize: 3,
    key: 'b',
    parallelism: 1,
    onSubmitted: (items: readonly Submitted[]) => void told.push(...items),
  };
  for await (const { index } of client.jobs.batch(submissions(9), options)) if (index === 3) break;
  await expect.poll(() => told.length).toBe(6);
  const posts = () => server.asked.filter(({ method }) => method === 'POST').length;
  expect(posts()).toBe(2);

  const rest = await all(client.jobs.batch(submissions(9), { ...options, from: 4, known: told.slice() }));
  expect(rest.map(({ index }) => index)).toEqual([4, 5, 6, 7, 8]);
  expect(rest.map(textOf)).toEqual(['t4', 't5', 't6', 't7', 't8']);
  expect(posts()).toBe(3);
  expect(jobs).toHaveLength(9);
});

test('without waiting there are ids', async () => {
  const { server, client } = await coordinator();
  const items = await all(client.jobs.batch(submissions(3), { wait: false }));
  expect(items.map(({ jobId, job }) => [jobId, job])).toEqual([
    ['id-0', undefined],
    ['id-1', undefined],
    ['id-2', undefined],
  ]);
  expect(server.asked).toHaveLength(1);
});
