import { afterEach, expect, test } from 'vitest';
import { Aitbc, type JobEvent, NotFoundError, UnexpectedAnswerError } from '../index.ts';
import { cuts, refuses, type Step, says, scriptedServer, streams } from '../testing/scripted-server.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});
const against = async (...steps: Step[]) => {
  const server = await scriptedServer(...steps);
  open.push(server);
  return { server, client: new Aitbc({ baseUrl: server.url, apiKey: 'k' }) };
};
const event = (id: number, type: string): string =>
  `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify({ id, type, status: 'running' })}\n\n`;
const collect = async (events: AsyncIterable<JobEvent>): Promise<string[]> => {
  const seen: string[] = [];
  for await (const event of events) seen.push('id' in event ? `${event.id} ${event.type}` : event.type);
  return seen;
};

test('events come until the last one, wherever the bytes are cut', async () => {
  const bytes = `: hello\n\n${event(1, 'pending')}${event(2, 'running')}${event(3, 'completed')}`;
  const { server, client } = await against(streams(bytes.match(/[\s\S]{1,7}/g) ?? [], 'stay'));
  expect(await collect(client.jobs.watch('j'))).toEqual(['1 pending', '2 running', '3 completed']);
  expect(server.asked).toHaveLength(1);
});

test('after a cut, an end without an end, and a refusal that passes, it goes on where it was', async () => {
  const { server, client } = await against(
    streams([event(1, 'pending'), event(2, 'running').slice(0, 20)], 'cut'),
    cuts,
    refuses(503, 'OVERLOADED', { 'retry-after': '0' }),
    streams([event(2, 'running')]),
    streams([event(3, 'progress'), event(4, 'failed')]),
  );
  expect(await collect(client.jobs.watch('j'))).toEqual(['1 pending', '2 running', '3 progress', '4 failed']);
  expect(server.asked.map(({ headers }) => headers['last-event-id'])).toEqual([
    undefined,
    '1',
    '1',
    '1',
    '2',
  ]);
});

test('what the miner puts out comes too, and is not asked for twice', async () => {
  const delta = (seq: number) =>
    `id: 2-1-${seq + 1}\nevent: delta\ndata: ${JSON.stringify({ type: 'delta', attempt: 1, seq, chunks: [{ text: 'a' }] })}\n\n`;
  const { server, client } = await against(
    streams([event(2, 'running'), delta(0), delta(1)], 'cut'),
    streams([delta(2), event(3, 'completed')]),
  );
  expect(await collect(client.jobs.watch('j'))).toEqual([
    '2 running',
    'delta',
    'delta',
    'delta',
    '3 completed',
  ]);
  expect(server.asked.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '2-1-2']);
});

test('204 is the end; it may begin behind an event', async () => {
  const { server, client } = await against(says(204, undefined));
  expect(await collect(client.jobs.watch('j', { lastEventId: 7 }))).toEqual([]);
  expect(server.asked[0]?.headers['last-event-id']).toBe('7');
});

test('what is no job and what is no stream is told', async () => {
  const nobody = await against(refuses(404, 'NOT_FOUND'));
  await expect(collect(nobody.client.jobs.watch('j'))).rejects.toThrow(NotFoundError);
  const page = await against(says(200, {}));
  await expect(collect(page.client.jobs.watch('j'))).rejects.toThrow(UnexpectedAnswerError);
});

test('who stops listening lets the connection go; so does a signal', async () => {
  let closed = 0;
  const stays: Step = (response, asked) => {
    response.on('close', () => closed++);
    return streams([event(1, 'pending')], 'stay')(response, asked);
  };
  const { client } = await against(stays);
  for await (const seen of client.jobs.watch('j')) {
    expect(seen).toMatchObject({ id: 1 });
    break;
  }
  await expect.poll(() => closed).toBe(1);

  const leaving = new AbortController();
  const watching = (async () => {
    for await (const _ of client.jobs.watch('j', { signal: leaving.signal }))
      leaving.abort(new Error('gone'));
  })();
  await expect(watching).rejects.toThrow('gone');
  await expect.poll(() => closed).toBe(2);
});

test('a proxy that cuts what waits is outlasted', async () => {
  const alive = streams([': still here\n\n']);
  const outlasted = await against(
    ...Array.from({ length: 21 }, () => alive),
    streams([event(1, 'completed')]),
  );
  expect(await collect(outlasted.client.jobs.watch('j'))).toEqual(['1 completed']);
});
