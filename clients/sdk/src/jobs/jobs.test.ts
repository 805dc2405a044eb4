import { afterEach, expect, test } from 'vitest';
import { Aitbc, JobFailedError } from '../index.ts';
import { type Asked, refuses, type Step, says, scriptedServer } from '../testing/scripted-server.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});
const against = async (...steps: Step[]) => {
  const server = await scriptedServer(...steps);
  open.push(server);
  return { server, client: new Aitbc({ baseUrl: server.url, apiKey: 'k' }) };
};
const status = (now: string, at: string) => says(200, { id: 'j', status: now, updated_at: at });
const failed = { id: 'j', status: 'failed', error: { code: 'OUT_OF_MEMORY', message: 'too large' } };

test('run submits once, waits as long as it takes, and tells what changes', async () => {
  const done = { id: 'j', status: 'completed', result: { language: 'de' } };
  const { server, client } = await against(
    says(201, { id: 'j', status: 'pending' }),
    status('pending', 't1'),
    status('pending', 't1'),
    status('running', 't2'),
    status('completed', 't3'),
    says(200, done),
  );
  const seen: string[] = [];
  const options = {
    payment_amount: 0.5,
    labels: ['a'],
    onStatus: (now: { status: string }) => seen.push(now.status),
  };
  expect(await client.jobs.run('language_detection', { text: 'a' }, options)).toEqual(done);
  expect(seen).toEqual(['pending', 'running', 'completed']);
  expect(server.asked[0]?.body).toEqual({
    job_type: 'language_detection',
    parameters: { text: 'a' },
    payment_amount: 0.5,
    labels: ['a'],
  });
  expect(server.asked.map(({ path }) => path.split('?')[1])).toEqual([
    undefined,
    'wait_seconds=0',
    ...Array(3).fill('wait_seconds=25'),
    undefined,
  ]);
});

test('a job that fails is an error with the job', async () => {
  const { client } = await against(says(201, { id: 'j' }), status('failed', 't'), says(200, failed));
  const error = await client.jobs.run('language_detection', { text: 'a' }).catch((caught) => caught);
  expect(error).toBeInstanceOf(JobFailedError);
  expect(error).toMatchObject({
    name: 'JobFailedError',
    code: 'OUT_OF_MEMORY',
    message: 'too large',
    job: failed,
  });
});

test('who goes away takes the job along, if that was asked for, also one whose answer never came', async () => {
  const leaving = () => {
    const controller = new AbortController();
    return { controller, options: { signal: controller.signal, cancelOnAbort: true } };
  };
  const waiting = leaving();
  const stays: Step = () => waiting.controller.abort(new Error('gone'));
  const told = await against(says(201, { id: 'j' }), stays, says(200, {}));
  await expect(told.client.jobs.run('ocr', { image_base64: 'x' }, waiting.options)).rejects.toThrow('gone');
  expect(told.server.asked.at(-1)?.path).toBe('/v1/client/jobs/j/cancel');

  const submitting = leaving();
  const never: Step = () => submitting.controller.abort(new Error('gone'));
  const lost = await against(never, says(201, { id: 'j' }), refuses(409, 'JOB_ALREADY_ENDED'));
  await expect(lost.client.jobs.run('ocr', { image_base64: 'x' }, submitting.options)).rejects.toThrow(
    'gone',
  );
  const keyOf = (asked: Asked | undefined) => asked?.headers['idempotency-key'];
  expect(lost.server.asked.map(({ path }) => path)).toEqual([
    '/v1/client/jobs',
    '/v1/client/jobs',
    '/v1/client/jobs/j/cancel',
  ]);
  expect(keyOf(lost.server.asked[1])).toBe(keyOf(lost.server.asked[0]));

  const kept = new AbortController();
  const goes = await against(says(201, { id: 'j' }), () => kept.abort(new Error('gone')));
  await expect(goes.client.jobs.run('ocr', { image_base64: 'x' }, { signal: kept.signal })).rejects.toThrow(
    'gone',
  );
  expect(goes.server.asked).toHaveLength(2);
});
