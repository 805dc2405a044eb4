import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLanguageDetection } from './executors/language_detection.ts';
import { type AgentUnderTest, createGate, type Gate, startAgent } from './testing/agent-under-test.ts';
import { type CoordinatorServer, KEY, startCoordinatorServer } from './testing/coordinator-server.ts';
import { eventually } from './testing/eventually.ts';

let server: CoordinatorServer;
let gate: Gate;
let running: AgentUnderTest | undefined;

const start = (
  ...args: Parameters<typeof startAgent> extends [unknown, ...infer R] ? R : never
): AgentUnderTest => {
  running = startAgent(server, ...args);
  return running;
};

beforeEach(async () => {
  server = await startCoordinatorServer();
  gate = createGate();
});
afterEach(async () => {
  await running?.end();
  running = undefined;
  await server.close();
});

describe('work', () => {
  it('registers what it has, takes a job, returns its real result and says so', async () => {
    const agent = start([createLanguageDetection()]);
    const id = server.submit('language_detection', { text: 'Guten Morgen, wie geht es Ihnen heute?' });
    await eventually(() => expect(server.stateOf(id)).toBe('completed'));
    expect(server.reportOf(id)).toMatchObject({ status: 'completed', result: { language: 'de' } });
    expect(server.seen.registrations).toHaveLength(1);
    expect(server.seen.registrations[0]).toMatchObject({
      name: 'box',
      capabilities: ['language_detection'],
      gpus: [{ model: 'RTX 4090', vram_gb: 24, count: 1 }],
      concurrency: 2,
    });
    await eventually(() => expect(agent.events()).toContain('job.done'));
    expect(agent.events()).toEqual(expect.arrayContaining(['offer', 'registered', 'job.taken']));
  });

  it('logs no key, no parameter and no result', async () => {
    const agent = start([createLanguageDetection()]);
    const id = server.submit('language_detection', {
      text: 'ein sehr geheimer Satz, der nirgends stehen darf',
    });
    await eventually(() => expect(server.stateOf(id)).toBe('completed'));
    await agent.end();
    expect(agent.log()).toContain(id);
    for (const secret of [KEY, 'geheimer', '"de"', `lease-${id}`]) expect(agent.log()).not.toContain(secret);
  });

  it('runs as many jobs at once as it may, asks for its free slots only, and never for more', async () => {
    start([gate.executor], { concurrency: 3 });
    for (let n = 0; n < 5; n += 1) server.submit('language_detection', { text: `job ${n}` });
    await eventually(() => expect(gate.inside).toHaveLength(3));
    expect(server.seen.polls[0]?.maxJobs).toBe(3);
    const asked = server.seen.polls.length;
    gate.inside[0]?.finish('done');
    await eventually(() => expect(server.seen.polls.length).toBeGreaterThan(asked));
    expect(server.seen.polls.at(-1)?.maxJobs).toBe(1);
    await eventually(() => expect(gate.inside).toHaveLength(3));
    while (server.seen.reports.length < 5) {
      gate.inside[0]?.finish('done');
      await eventually(() =>
        expect(gate.inside.length + server.seen.reports.length).toBeGreaterThanOrEqual(3),
      );
      await eventually(() => expect(gate.inside.length === 0 ? server.seen.reports.length : 5).toBe(5));
    }
  });

  it('asks for the next job with the report of the one in hand', async () => {
    start([gate.executor], { concurrency: 1 });
    const ids = [1, 2, 3].map((n) => server.submit('language_detection', { text: `job ${n}` }));
    await eventually(() => expect(gate.inside).toHaveLength(1));
    for (const id of ids) {
      await eventually(() => expect(server.stateOf(id)).toBe('running'));
      // The agent has it a moment later than the server gave it.
      await eventually(() => expect(gate.inside).toHaveLength(1));
      expect(server.seen.polls).toHaveLength(1);
      gate.inside[0]?.finish('done');
      await eventually(() => expect(server.stateOf(id)).toBe('completed'));
    }
    expect(server.seen.resultRequests).toBe(3);
    // Nothing came with the last one.
    await eventually(() => expect(server.seen.polls).toHaveLength(2));
  });

  it('brings its result to a coordinator that knows of no such wish', async () => {
    start([gate.executor], { concurrency: 1 });
    const ids = [1, 2].map((n) => server.submit('language_detection', { text: `job ${n}` }));
    await eventually(() => expect(gate.inside).toHaveLength(1));
    server.fail('result', { status: 422, code: 'VALIDATION_ERROR' });
    gate.inside[0]?.finish('done');
    await eventually(() => expect(server.stateOf(ids[0] as string)).toBe('completed'));
    await eventually(() => expect(server.stateOf(ids[1] as string)).toBe('running'));
    expect(server.seen.polls).toHaveLength(2);
  });

  it('tells of jobs in hand with each heartbeat', async () => {
    start([gate.executor]);
    const id = server.submit('language_detection', { text: 'a' });
    await eventually(() =>
      expect(server.seen.heartbeats.at(-1)).toMatchObject({
        inflight: [id],
        attempts: [1],
        utilization: 0.5,
      }),
    );
  });

  it('sends progress about once a second, the newest value only, never backwards', async () => {
    start([gate.executor]);
    server.submit('language_detection', { text: 'a' });
    await eventually(() => expect(gate.inside).toHaveLength(1));
    const { progress } = gate.inside[0]?.context ?? { progress: () => {} };
    const startedAt = performance.now();
    for (let n = 1; n <= 40; n += 1) progress(n / 100);
    progress(0.1);
    await eventually(() => expect(server.seen.progress.map((one) => one.progress)).toEqual([0.4]));
    expect(performance.now() - startedAt).toBeGreaterThan(800);
    progress(0.5);
    await eventually(() => expect(server.seen.progress.map((one) => one.progress)).toEqual([0.4, 0.5]));
    const [first, second] = server.seen.progress;
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(800);
  });

  it('passes a failure on with its code and whether another may try', async () => {
    const { JobFailure } = await import('./executors/executor.ts');
    const agent = start([gate.executor]);
    const id = server.submit('language_detection', { text: 'a' });
    await eventually(() => expect(gate.inside).toHaveLength(1));
    gate.inside[0]?.fail(
      new JobFailure('BROKEN', 'it broke', { retryable: true, detail: 'the client’s own words' }),
    );
    await eventually(() => server.reportOf(id));
    expect(server.reportOf(id)).toMatchObject({
      status: 'failed',
      error: { code: 'BROKEN', message: 'it broke: the client’s own words' },
      retryable: true,
    });
    expect(agent.log()).not.toContain('own words');
  });

  it('gives an unforeseen error back as retryable, without its message', async () => {
    const agent = start([gate.executor]);
    const id = server.submit('language_detection', { text: 'a' });
    await eventually(() => expect(gate.inside).toHaveLength(1));
    gate.inside[0]?.fail(new TypeError('quotes the prompt'));
    await eventually(() => expect(server.reportOf(id).error?.code).toBe('EXECUTOR_ERROR'));
    expect(server.reportOf(id).retryable).toBe(true);
    expect(JSON.stringify(server.reportOf(id)) + agent.log()).not.toContain('quotes the prompt');
  });

  it('takes no more of a type while job after job fails by its own fault, and tries again later', async () => {
    const { backendUnavailable } = await import('./executors/executor.ts');
    const agent = start([gate.executor], {
      concurrency: 1,
      timing: { troubleBackoff: { baseMs: 400, capMs: 1_000 } },
    });
    const fail = async (text: string): Promise<void> => {
      server.submit('language_detection', { text });
      await eventually(() => expect(gate.inside[0]?.text).toBe(text));
      gate.inside[0]?.fail(backendUnavailable('gone'));
    };
    for (const text of ['0', '1', '2']) await fail(text);
    await eventually(() => expect(server.seen.registrations.at(-1)?.capabilities).toEqual([]));
    expect(server.seen.registrations.at(-1)?.status_note).toContain('several jobs in a row');
    await eventually(() =>
      expect(server.seen.registrations.at(-1)).toMatchObject({ capabilities: ['language_detection'] }),
    );
    const next = server.submit('language_detection', { text: 'next' });
    await eventually(() => expect(gate.inside).toHaveLength(1));
    gate.inside[0]?.finish('well again');
    await eventually(() => server.reportOf(next));
    expect(agent.events().filter((event) => event === 'trouble')).toHaveLength(1);
  });

  it('gives back a type it has no executor for', async () => {
    start([gate.executor]);
    const id = server.submit('image_generation', { prompt: 'a cat' });
    await eventually(() => expect(server.reportOf(id).error?.code).toBe('UNSUPPORTED_JOB_TYPE'));
    expect(server.reportOf(id).retryable).toBe(true);
  });

  it('reports a failure instead of a result that is too large', async () => {
    start([gate.executor]);
    const id = server.submit('language_detection', { text: 'a' });
    await eventually(() => expect(gate.inside).toHaveLength(1));
    gate.inside[0]?.finish('x'.repeat(5 * 1024 * 1024));
    await eventually(() => expect(server.reportOf(id).error?.code).toBe('RESULT_TOO_LARGE'));
    expect(server.reportOf(id).retryable).toBe(false);
  });

  it('reports a failure when the coordinator does not take the result', async () => {
    start([gate.executor]);
    server.fail('result', { status: 422, code: 'VALIDATION_ERROR' });
    const id = server.submit('language_detection', { text: 'a' });
    await eventually(() => expect(gate.inside).toHaveLength(1));
    gate.inside[0]?.finish('odd');
    await eventually(() => expect(server.reportOf(id).error?.code).toBe('RESULT_REFUSED'));
  });
});

describe('stopping a job', () => {
  it.each(['cancel', 'drop'] as const)('%s: aborts the job, frees its slot, reports nothing', async (how) => {
    start([gate.executor], { concurrency: 1 });
    const id = server.submit('language_detection', { text: 'first' });
    await eventually(() => expect(gate.inside).toHaveLength(1));
    const signal = gate.inside[0]?.context.signal;
    server[how](id);
    await eventually(() => expect(signal?.aborted).toBe(true));
    const next = server.submit('language_detection', { text: 'second' });
    await eventually(() => expect(gate.inside.at(-1)?.text).toBe('second'));
    gate.inside.at(-1)?.finish('done');
    await eventually(() => server.reportOf(next));
    expect(server.seen.reports.map((report) => report.job_id)).toEqual([next]);
  });

  it('goes on with a job that came while the answer was under way: it is about what was told', async () => {
    const answerBeats = server.holdBeats();
    start([gate.executor]);
    await eventually(() => expect(server.seen.heartbeats).toHaveLength(1));
    const id = server.submit('language_detection', { text: 'back again' });
    await eventually(() => expect(gate.inside).toHaveLength(1));
    server.drop(id);
    answerBeats();
    // It stands in the next beat, and that one is about it.
    await eventually(() => expect(server.seen.heartbeats.at(1)?.inflight).toEqual([id]));
    await eventually(() => expect(gate.inside[0]?.context.signal.aborted).not.toBe(false));
  });

  it('stops when a progress report is told that the lease is gone', async () => {
    start([gate.executor]);
    server.fail('progress', { status: 409, code: 'STALE_LEASE' });
    server.submit('language_detection', { text: 'a' });
    await eventually(() => expect(gate.inside).toHaveLength(1));
    const { signal, progress } = gate.inside[0]?.context ?? { signal: undefined, progress: () => {} };
    progress(0.5);
    await eventually(() => expect(signal?.aborted).toBe(true));
    expect(server.seen.reports).toEqual([]);
  });

  it('aborts at the deadline and reports it, before the coordinator’s own timer', async () => {
    start([gate.executor]);
    const id = server.submit('language_detection', { text: 'a' }, { deadlineMs: 400 });
    const deadline = performance.now() + 400;
    await eventually(() => expect(gate.inside).toHaveLength(1));
    const signal = gate.inside[0]?.context.signal;
    await eventually(() => server.reportOf(id));
    expect(performance.now()).toBeLessThan(deadline + 1_000);
    expect(signal?.aborted).toBe(true);
    expect(server.reportOf(id)).toMatchObject({
      status: 'failed',
      retryable: true,
      error: { code: 'DEADLINE_EXCEEDED' },
    });
  });

  it('reads deadlines by the coordinator’s clock', async () => {
    // This machine's clock is an hour ahead, and no header tells: by it, the deadline is long over.
    server.setClockAhead(-3_600_000);
    start([gate.executor]);
    const id = server.submit('language_detection', { text: 'a' }, { deadlineMs: 30_000 });
    await eventually(() => expect(gate.inside).toHaveLength(1));
    gate.inside[0]?.finish('in time');
    await eventually(() => expect(server.reportOf(id).status).toBe('completed'));
    expect(server.reportOf(id).metrics).toBeDefined();
  });
});

describe('what is offered', () => {
  it('is present while nothing is offered, says why, and takes work when that changes', async () => {
    gate.isOffered = false;
    const agent = start([gate.executor]);
    await eventually(() => expect(agent.log()).toContain('closed by the test'));
    await eventually(() => expect(server.seen.heartbeats.length).toBeGreaterThan(0));
    expect(server.seen.registrations[0]).toMatchObject({
      capabilities: [],
      status_note: expect.stringContaining('closed by the test'),
    });
    expect(server.seen.polls).toEqual([]);
    gate.isOffered = true;
    await eventually(() => expect(server.seen.polls.length).toBeGreaterThan(0));
    expect(server.seen.registrations.at(-1)).toMatchObject({ capabilities: ['language_detection'] });
    expect(server.seen.registrations.at(-1)).not.toHaveProperty('status_note');
  });

  it('registers again under the same id when the offer changes', async () => {
    const second = createGate('ocr');
    second.isOffered = false;
    start([gate.executor, second.executor]);
    await eventually(() => expect(server.seen.registrations).toHaveLength(1));
    second.isOffered = true;
    await eventually(() =>
      expect(server.seen.registrations.at(-1)?.capabilities).toEqual(['language_detection', 'ocr']),
    );
    expect(new Set(server.seen.polls.map((poll) => poll.minerId)).size).toBe(1);
  });

  it('stops taking work when the last backend goes', async () => {
    const agent = start([gate.executor]);
    await eventually(() => expect(server.seen.polls.length).toBeGreaterThan(0));
    gate.isOffered = false;
    await eventually(() => expect(agent.events()).toContain('nothing'));
    server.submit('language_detection', { text: 'nobody takes this' });
    gate.isOffered = true;
    await eventually(() => expect(gate.inside).toHaveLength(1));
    await eventually(() =>
      expect(server.seen.registrations.map((one) => one.capabilities.length)).toEqual([1, 0, 1]),
    );
  });
});
