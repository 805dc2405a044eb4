import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AgentUnderTest, createGate, type Gate, startAgent } from './testing/agent-under-test.ts';
import { type CoordinatorServer, startCoordinatorServer } from './testing/coordinator-server.ts';
import { eventually } from './testing/eventually.ts';

let server: CoordinatorServer;
let gate: Gate;
let running: AgentUnderTest | undefined;

const start = (options: Parameters<typeof startAgent>[2] = {}): AgentUnderTest => {
  running = startAgent(server, [gate.executor], options);
  return running;
};
/** A job that is inside the executor. */
const takeJob = async (text = 'a'): Promise<string> => {
  const id = server.submit('language_detection', { text });
  await eventually(() => expect(gate.inside.map((job) => job.text)).toContain(text));
  return id;
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

describe('a result is never lost', () => {
  it('through 500s, cut connections, a proxy’s pages and rate limits', async () => {
    start();
    const id = await takeJob();
    server.fail(
      'result',
      { status: 500 },
      'cut',
      { status: 503, code: 'SERVICE_UNAVAILABLE', headers: { 'retry-after': '0' } },
      { status: 404, html: '<h1>deploying</h1>' },
      { status: 502, html: '<h1>bad gateway</h1>' },
      { status: 429, code: 'RATE_LIMITED', headers: { 'retry-after': '0' } },
    );
    gate.inside[0]?.finish({ answer: 42 });
    await eventually(() => expect(server.reportOf(id).result).toEqual({ answer: 42 }));
    expect(server.faultsLeft('result')).toBe(0);
    expect(server.seen.reports).toHaveLength(1);
  });

  it('through a coordinator that is gone for a while', async () => {
    const agent = start();
    const id = await takeJob();
    await server.close();
    gate.inside[0]?.finish('kept');
    await eventually(() => expect(agent.events()).toContain('unreachable'));
    await server.reopen();
    await eventually(() => expect(server.reportOf(id).result).toBe('kept'));
    expect(agent.events().filter((event) => event === 'unreachable').length).toBeLessThan(5);
    await eventually(() => expect(agent.events()).toContain('reachable'));
  });

  it('through a coordinator that came back without its miners', async () => {
    start();
    const id = await takeJob();
    server.fail('result', { status: 404, code: 'MINER_NOT_REGISTERED' });
    gate.inside[0]?.finish('kept');
    await eventually(() => expect(server.reportOf(id).result).toBe('kept'));
    expect(server.seen.registrations.length).toBeGreaterThanOrEqual(2);
  });

  it('sends what piled up during an outage in one request', async () => {
    start({ concurrency: 8 });
    const ids: string[] = [];
    for (let n = 0; n < 8; n += 1) ids.push(await takeJob(`job ${n}`));
    server.fail('result', { status: 503, code: 'SERVICE_UNAVAILABLE', headers: { 'retry-after': '1' } });
    for (const job of [...gate.inside]) job.finish(job.text);
    await eventually(() => expect(server.seen.reports).toHaveLength(8));
    expect(server.seen.resultRequests).toBe(1);
    for (const [n, id] of ids.entries()) expect(server.reportOf(id).result).toBe(`job ${n}`);
  });

  it.each([
    ['cancelled meanwhile', 409, 'JOB_ALREADY_ENDED'],
    ['given to another', 409, 'STALE_LEASE'],
    ['not ours', 404, 'NOT_FOUND'],
  ])('but a definite no ends it: %s', async (_, status, code) => {
    const agent = start({ concurrency: 1 });
    await takeJob('first');
    server.fail('result', { status, code });
    gate.inside[0]?.finish('late');
    await eventually(() => expect(agent.events()).toContain('job.refused'));
    const next = await takeJob('second');
    gate.inside[0]?.finish('in time');
    await eventually(() => server.reportOf(next));
    expect(server.seen.reports.map((report) => report.job_id)).toEqual([next]);
  });
});

describe('polling and heartbeats', () => {
  it('go on after errors of every kind', async () => {
    start();
    server.fail('poll', 'cut', { status: 500 }, { status: 502, html: '<h1>no</h1>' });
    server.fail('heartbeat', 'cut', { status: 500 });
    const id = await takeJob();
    gate.inside[0]?.finish('done');
    await eventually(() => server.reportOf(id));
    await eventually(() => expect(server.faultsLeft('heartbeat')).toBe(0));
  });

  it('register again when the coordinator does not know the miner, and keep the work in hand', async () => {
    start();
    const id = await takeJob();
    server.forgetMiners();
    await eventually(() => expect(server.seen.registrations).toHaveLength(2));
    const next = await takeJob('next');
    expect(gate.inside).toHaveLength(2);
    for (const job of [...gate.inside]) job.finish('done');
    await eventually(() =>
      expect([server.stateOf(id), server.stateOf(next)]).toEqual(['completed', 'completed']),
    );
  });

  it('obey Retry-After', async () => {
    const agent = start();
    await eventually(() => expect(server.seen.polls.length).toBeGreaterThan(0));
    server.fail('poll', { status: 429, code: 'RATE_LIMITED', headers: { 'retry-after': '1' } });
    await eventually(() => expect(server.faultsLeft('poll')).toBe(0));
    const refusedAt = performance.now();
    const asked = server.seen.polls.length;
    await eventually(() => expect(server.seen.polls.length).toBeGreaterThan(asked));
    expect((server.seen.polls[asked]?.at ?? 0) - refusedAt).toBeGreaterThan(800);
    expect(agent.log()).toContain('rate limit reached');
  });

  it('do not turn into a busy loop when the coordinator does not hold polls', async () => {
    await server.close();
    server = await startCoordinatorServer({ holdMs: 0 });
    start();
    await eventually(() => expect(server.seen.polls.length).toBe(3));
    const [first, , third] = server.seen.polls;
    expect((third?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(900);
  });

  it('do not turn into a busy loop when registering does not help', async () => {
    start({ timing: { requestBackoff: { baseMs: 600, capMs: 600 } } });
    await eventually(() => expect(server.seen.polls.length).toBeGreaterThan(0));
    const at = performance.now();
    server.fail('poll', ...Array.from({ length: 3 }, () => ({ status: 404, code: 'MINER_NOT_REGISTERED' })));
    await eventually(() => expect(server.faultsLeft('poll')).toBe(0));
    // The first comes at the end of a held poll (0.2 s), the second at once, the third after half the back-off at least.
    expect(performance.now() - at).toBeGreaterThan(290);
  });
});

describe('the coordinator refuses for good', () => {
  it('a wrong key stops the agent with advice, and without the key in the log', async () => {
    const agent = start({ key: 'ak_wrong_key' });
    expect(await agent.ended).toBe(1);
    expect(agent.log()).toContain('check --key or AITBC_MINER_KEY');
    expect(agent.log()).not.toContain('ak_wrong_key');
    expect(server.seen.polls).toEqual([]);
  });

  it('a key without the scope stops it too', async () => {
    server.fail('register', { status: 403, code: 'FORBIDDEN' });
    const agent = start();
    expect(await agent.ended).toBe(1);
    expect(agent.log()).toContain('miner scope');
  });

  it.each(['heartbeat', 'poll', 'result'] as const)(
    'a key revoked later, seen by %s, stops it and its jobs',
    async (place) => {
      const agent = start();
      await takeJob();
      const signal = gate.inside[0]?.context.signal;
      server.fail(place, { status: 401, code: 'UNAUTHENTICATED' });
      if (place === 'result') gate.inside[0]?.finish('done');
      expect(await agent.ended).toBe(1);
      if (place !== 'result') expect(signal?.aborted).toBe(true);
    },
  );

  it('a registration that can never be right stops it', async () => {
    server.fail('register', { status: 422, code: 'VALIDATION_ERROR' });
    const agent = start();
    expect(await agent.ended).toBe(1);
    expect(agent.log()).toContain('refused the registration (422 VALIDATION_ERROR)');
  });

  it('but a redirect or a stranger’s page does not: the URL may be right tomorrow', async () => {
    server.fail(
      'register',
      { status: 308, html: '', headers: { location: 'https://elsewhere.example/' } },
      { status: 404, html: 'x' },
    );
    const agent = start();
    await eventually(() => expect(server.seen.registrations).toHaveLength(1));
    expect(agent.log()).toContain('pass that as --coordinator');
  });
});

describe('drain', () => {
  it('takes no more work, finishes what runs, and ends', async () => {
    const agent = start();
    const id = await takeJob('first');
    // Not between two polls: then none open would not mean that none comes.
    await eventually(() => expect(server.openPolls()).toBe(1));
    agent.agent.drain('test');
    await eventually(() => expect(server.openPolls()).toBe(0));
    const late = server.submit('language_detection', { text: 'late' });
    gate.inside[0]?.finish('done');
    expect(await agent.ended).toBe(0);
    expect(server.reportOf(id).result).toBe('done');
    expect(server.stateOf(late)).toBe('pending');
  });

  it('keeps the heartbeat until the last job is reported', async () => {
    const agent = start();
    const id = await takeJob();
    agent.agent.drain('test');
    const beats = server.seen.heartbeats.length;
    await eventually(() => expect(server.seen.heartbeats.length).toBeGreaterThan(beats + 1));
    expect(server.seen.heartbeats.at(-1)?.inflight).toEqual([id]);
    gate.inside[0]?.finish('done');
    expect(await agent.ended).toBe(0);
  });

  it('gives jobs back when it is hurried', async () => {
    const agent = start();
    const id = await takeJob();
    agent.agent.drain('test');
    agent.agent.hurry('test');
    expect(await agent.ended).toBe(0);
    expect(server.reportOf(id)).toMatchObject({
      status: 'failed',
      retryable: true,
      error: { code: 'MINER_SHUTDOWN' },
    });
  });

  it('gives jobs back when its patience ends', async () => {
    const agent = start({ timing: { drainMs: 50 } });
    const id = await takeJob();
    agent.agent.drain('test');
    expect(await agent.ended).toBe(0);
    expect(server.reportOf(id).error?.code).toBe('MINER_SHUTDOWN');
  });

  it('ends even when nobody takes the reports', async () => {
    const agent = start({ timing: { reportMs: 100 } });
    await takeJob();
    await server.close();
    agent.agent.drain('test');
    agent.agent.hurry('test');
    expect(await agent.ended).toBe(0);
    expect(agent.events()).toContain('job.abandoned');
    await server.reopen();
  });

  it('ends at once while the coordinator was never reached', async () => {
    await server.close();
    const agent = start();
    await eventually(() => expect(agent.events()).toContain('unreachable'));
    agent.agent.drain('test');
    expect(await agent.ended).toBe(0);
    await server.reopen();
  });
});
