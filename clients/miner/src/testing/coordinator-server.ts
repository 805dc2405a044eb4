import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { JobOutput, jobsRoutes, minersRoutes, newId } from '@aitbc/contracts';
import type { Assignment, Heartbeat, ProgressReport, Registration, Report } from '../coordinator.ts';

export const KEY = 'ak_miner_of_the_tests';

/** What to answer instead of the truth: an HTTP answer, or a connection that is cut. */
export type Fault =
  | 'cut'
  | { status: number; code?: string; headers?: Record<string, string>; html?: string };
export type Place = 'register' | 'heartbeat' | 'poll' | 'progress' | 'stream' | 'result';

interface JobRow {
  readonly assignment: Assignment;
  state: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled';
  report: string | undefined;
}

/**
 * A coordinator for tests: one process, real HTTP, the contract's schemas on every body in and out, and faults on
 * request. It holds polls for `holdMs` at most, so that tests end soon.
 */
export const startCoordinatorServer = async ({ holdMs = 200 } = {}) => {
  const jobs = new Map<string, JobRow>();
  const miners = new Map<string, string>();
  const faults = new Map<Place, Fault[]>();
  const cancel = new Set<string>();
  const drop = new Set<string>();
  const registrationsAt = new Map<string, number>();
  const beatsTold = new Set<string>();
  const listened = new Set<string>();
  /** The number of the chunk that comes next, of each job. */
  const wanted = new Map<string, number>();
  const seen = {
    registrations: [] as Registration[],
    heartbeats: [] as Heartbeat[],
    polls: [] as { at: number; maxJobs: number; minerId: string | null }[],
    progress: [] as (ProgressReport & { at: number })[],
    /** What was passed on of each job, in order. */
    streamed: [] as { job_id: string; seq: number; chunks: Record<string, unknown>[]; at: number }[],
    reports: [] as Report[],
    resultRequests: 0,
    streamRequests: 0,
    keys: new Set<string>(),
  };
  let waiting: (() => void)[] = [];
  let heartbeatSeconds = 1;
  let clockAheadMs = 0;
  let openPolls = 0;
  let beatsHeld: Promise<void> | undefined;
  let beatWaiting: (() => void)[] = [];
  /** The instance that lives under each name, where one does that the agent under test has to give way to. */
  const living = new Map<string, string>();
  const wakeBeats = (): void => {
    for (const wake of beatWaiting) wake();
    beatWaiting = [];
  };
  const serverTime = (): string => new Date(Date.now() + clockAheadMs).toISOString();

  const answer = (response: ServerResponse, status: number, body: unknown, headers = {}): void => {
    // Some proxies take it off; deadlines are read by `server_time`.
    response.sendDate = false;
    response.writeHead(status, {
      'content-type': 'application/json',
      ...headers,
    });
    response.end(JSON.stringify(body));
  };
  const refuse = (response: ServerResponse, status: number, code: string, headers = {}): void =>
    answer(response, status, { error: { code, message: `${code} for a test`, details: {} } }, headers);

  const register = (body: unknown, response: ServerResponse) => {
    const parsed = minersRoutes.register.body?.safeParse(body);
    if (parsed?.success !== true) return refuse(response, 422, 'VALIDATION_ERROR');
    const registration = parsed.data;
    const name = registration.name ?? '';
    if (living.has(name)) return refuse(response, 409, 'MINER_NAME_IN_USE');
    seen.registrations.push(registration);
    const isNew = !miners.has(name);
    const id = miners.get(name) ?? newId();
    miners.set(name, id);
    const { instance_id: _instanceId, status_note: _statusNote, ...described } = registration;
    const miner = {
      ...described,
      id,
      name,
      endpoint: null,
      status: 'active',
      last_heartbeat: serverTime(),
      cuda_version: registration.cuda_version ?? null,
      region: registration.region ?? null,
      price_per_job: registration.price_per_job ?? 0,
      inflight: 0,
      reputation: 1,
      jobs_completed: 0,
      jobs_failed: 0,
    };
    answer(response, isNew ? 201 : 200, minersRoutes.register.responses[201].parse(miner));
  };

  const isKnown = (id: string | null | undefined): boolean =>
    [...miners.values()].some((known) => known === id);

  const heartbeat = async (body: unknown, response: ServerResponse) => {
    const beat = minersRoutes.heartbeat.body?.parse(body) as Heartbeat;
    seen.heartbeats.push(beat);
    if (!isKnown(beat.miner_id)) return refuse(response, 404, 'MINER_NOT_REGISTERED');
    await beatsHeld;
    const { name } = [...miners]
      .map(([name, id]) => ({ name, id }))
      .find(({ id }) => id === beat.miner_id) ?? {
      name: '',
    };
    if (living.has(name)) return refuse(response, 409, 'MINER_NAME_IN_USE');
    const running = (id: string): boolean => jobs.get(id)?.report === undefined;
    // What came after the beat is told too.
    const named = (from: Set<string>): string[] =>
      [...from].filter((id) => running(id) && ((beat.inflight ?? []).includes(id) || !beatsTold.has(id)));
    const until = performance.now() + Math.min(beat.wait_seconds ?? 0, heartbeatSeconds) * 1000;
    while (
      named(cancel).length === 0 &&
      drop.size === 0 &&
      performance.now() < until &&
      !response.destroyed
    ) {
      await new Promise<void>((resolve) => {
        beatWaiting.push(resolve);
        setTimeout(resolve, Math.max(0, until - performance.now()));
      });
    }
    if (response.destroyed) return;
    const reply = {
      status: 'active',
      server_time: serverTime(),
      cancel: named(cancel),
      // What ended since the last beat is told to an agent that does not name it, too.
      drop: [...drop],
      next_heartbeat_seconds: heartbeatSeconds,
    };
    for (const id of reply.cancel) beatsTold.add(id);
    answer(response, 200, minersRoutes.heartbeat.responses[200].parse(reply));
  };

  const pendingJobs = (max: number) =>
    [...jobs.values()].filter((job) => job.state === 'pending').slice(0, max);

  const poll = async (url: URL, response: ServerResponse) => {
    const query = jobsRoutes.poll.query?.parse(Object.fromEntries(url.searchParams)) as { max_jobs: number };
    const minerId = url.searchParams.get('miner_id');
    seen.polls.push({ at: performance.now(), maxJobs: query.max_jobs, minerId });
    if (!isKnown(minerId)) return refuse(response, 404, 'MINER_NOT_REGISTERED');
    const pending = () => pendingJobs(query.max_jobs);
    const until = performance.now() + holdMs;
    openPolls += 1;
    response.on('close', () => {
      openPolls -= 1;
    });
    while (pending().length === 0 && performance.now() < until && !response.destroyed) {
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        setTimeout(resolve, Math.max(0, until - performance.now()));
      });
    }
    if (response.destroyed) return;
    const items = pending();
    for (const job of items) job.state = 'running';
    answer(
      response,
      200,
      jobsRoutes.poll.responses[200].parse({
        server_time: serverTime(),
        items: items.map((job) => job.assignment),
      }),
    );
  };

  const holderOf = (body: {
    job_id: string;
    lease: string;
  }): JobRow | 'NOT_FOUND' | 'STALE_LEASE' | 'JOB_ALREADY_ENDED' => {
    const job = jobs.get(body.job_id);
    if (job === undefined) return 'NOT_FOUND';
    if (job.assignment.lease !== body.lease) return 'STALE_LEASE';
    return job.state === 'cancelled' ? 'JOB_ALREADY_ENDED' : job;
  };

  const progress = (body: unknown, response: ServerResponse) => {
    const parsed = jobsRoutes.progress.body?.parse(body) as ProgressReport;
    seen.progress.push({ ...parsed, at: performance.now() });
    const job = holderOf(parsed);
    if (typeof job === 'string') return refuse(response, job === 'NOT_FOUND' ? 404 : 409, job);
    answer(response, 200, { status: 'running' });
  };

  const passOn = (output: Omit<(typeof seen.streamed)[number], 'at'> & { lease: string }) => {
    seen.streamed.push({ ...output, at: performance.now() });
    const job = holderOf(output);
    if (typeof job === 'string') return job;
    const had = wanted.get(output.job_id) ?? 0;
    const isListened = listened.has(output.job_id);
    const seq = isListened ? Math.max(had, output.seq + output.chunks.length) : had;
    wanted.set(output.job_id, seq);
    return { listening: isListened, seq };
  };
  const stream = (body: unknown, response: ServerResponse) => {
    seen.streamRequests += 1;
    const parsed = jobsRoutes.stream.body?.parse(body) as { streams?: unknown[] };
    if (parsed.streams === undefined) {
      const verdict = passOn(parsed as never);
      if (typeof verdict === 'string') return refuse(response, verdict === 'NOT_FOUND' ? 404 : 409, verdict);
      return answer(response, 200, jobsRoutes.stream.responses[200].parse(verdict));
    }
    const items = parsed.streams.map((item) => {
      const output = JobOutput.parse(item);
      const verdict = passOn(output);
      return typeof verdict === 'string'
        ? { job_id: output.job_id, status: 409, error: { code: verdict, message: verdict, details: {} } }
        : { job_id: output.job_id, status: 200, verdict };
    });
    answer(response, 200, jobsRoutes.stream.responses[200].parse({ items }));
  };

  const settle = (report: Report): { status: number; code?: string; verdict?: unknown } => {
    const job = holderOf(report);
    if (typeof job === 'string') return { status: job === 'NOT_FOUND' ? 404 : 409, code: job };
    const json = JSON.stringify(report);
    if (job.report !== undefined && job.report !== json) return { status: 409, code: 'RESULT_CONFLICT' };
    if (job.report === undefined) {
      seen.reports.push(report);
      registrationsAt.set(report.job_id, seen.registrations.length);
    }
    job.report = json;
    job.state = report.status;
    const receipt =
      report.status === 'failed'
        ? null
        : {
            id: newId(),
            job_id: report.job_id,
            miner_id: newId(),
            result: report.result,
            salt: null,
            proof: 'a.b.c',
            created_at: serverTime(),
          };
    return { status: 200, verdict: { status: job.state, receipt } };
  };

  const result = (body: unknown, response: ServerResponse) => {
    seen.resultRequests += 1;
    const parsed = jobsRoutes.result.body?.safeParse(body);
    if (parsed?.success !== true) return refuse(response, 422, 'VALIDATION_ERROR');
    if ('results' in parsed.data) {
      const items = (parsed.data.results as Report[]).map((report) => {
        const { status, code, verdict } = settle(report);
        return code === undefined
          ? { job_id: report.job_id, status, verdict }
          : { job_id: report.job_id, status, error: { code, message: code, details: {} } };
      });
      return answer(response, 200, jobsRoutes.result.responses[200].parse({ items }));
    }
    const { next, ...report } = parsed.data;
    const { status, code, verdict } = settle(report);
    if (code !== undefined) return refuse(response, status, code);
    const work = next === undefined ? [] : pendingJobs(next.max_jobs);
    for (const job of work) job.state = 'running';
    const items = work.map((job) => job.assignment);
    const more = next === undefined ? {} : { server_time: serverTime(), items };
    answer(response, 200, jobsRoutes.result.responses[200].parse({ ...(verdict as object), ...more }));
  };

  const placeOf = (path: string): Place | undefined =>
    path === '/v1/miner/jobs'
      ? 'poll'
      : (['register', 'heartbeat', 'progress', 'stream', 'result'] as const).find(
          (place) => path === `/v1/miner/${place}`,
        );

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://coordinator');
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    const place = placeOf(url.pathname);
    if (place === undefined) return refuse(response, 404, 'NOT_FOUND');
    const fault = faults.get(place)?.shift();
    if (fault === 'cut') return void request.socket.destroy();
    if (fault?.html !== undefined) {
      response.writeHead(fault.status, { 'content-type': 'text/html', ...fault.headers });
      return void response.end(fault.html);
    }
    if (fault !== undefined)
      return refuse(response, fault.status, fault.code ?? 'INTERNAL_ERROR', fault.headers);
    seen.keys.add(String(request.headers['x-api-key']));
    if (request.headers['x-api-key'] !== KEY) return refuse(response, 401, 'UNAUTHENTICATED');
    if (place === 'poll') return poll(url, response);
    const body: unknown = JSON.parse(text);
    await { register, heartbeat, progress, stream, result }[place](body, response);
  };

  let server: Server;
  const listen = (port: number): Promise<void> => {
    server = createServer((request, response) => {
      handle(request, response).catch(() => response.destroy());
    });
    return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve()));
  };
  const close = (): Promise<void> => {
    for (const wake of [...waiting, ...beatWaiting]) wake();
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  await listen(0);
  const { port } = server!.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    seen: {
      ...seen,
      get streamRequests() {
        return seen.streamRequests;
      },
      get resultRequests() {
        return seen.resultRequests;
      },
      /** How many registrations had come when this job was reported. */
      reportedAfter: (id: string) => registrationsAt.get(id),
    },
    /** @returns the id of a job that the next poll gets. */
    submit(
      jobType: Assignment['job_type'],
      parameters: Record<string, unknown>,
      { deadlineMs = 60_000, isListened = false } = {},
    ): string {
      const id = newId();
      const deadline = new Date(Date.now() + clockAheadMs + deadlineMs).toISOString();
      const assignment = {
        id,
        job_type: jobType,
        parameters,
        attempt: 1,
        lease: `lease-${id}`,
        deadline_at: deadline,
        stream: isListened,
      };
      if (isListened) listened.add(id);
      jobs.set(id, { assignment, state: 'pending', report: undefined });
      for (const wake of waiting) wake();
      waiting = [];
      return id;
    },
    /** Somebody listens from now on. */
    listen: (id: string) => void listened.add(id),
    stateOf: (id: string) => jobs.get(id)?.state,
    reportOf: (id: string): Report => {
      const report = seen.reports.find((one) => one.job_id === id);
      if (report === undefined) throw new Error(`no report of ${id} yet`);
      return report;
    },
    /** The client cancels: the next heartbeat says so, and a result is refused from now on. */
    cancel(id: string): void {
      const job = jobs.get(id);
      if (job !== undefined) job.state = 'cancelled';
      cancel.add(id);
      wakeBeats();
    },
    drop(id: string): void {
      drop.add(id);
      wakeBeats();
    },
    /** Another agent lives under this name, until the returned function is called. */
    occupy(name: string): () => void {
      living.set(name, 'another');
      return () => void living.delete(name);
    },
    /** Beats are heard, and answered once the returned function is called. */
    holdBeats(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>();
      beatsHeld = promise;
      return resolve;
    },
    /** The next answers of a route, in order; after them it tells the truth again. */
    fail(place: Place, ...next: Fault[]): void {
      faults.set(place, [...(faults.get(place) ?? []), ...next]);
    },
    faultsLeft: (place: Place): number => faults.get(place)?.length ?? 0,
    openPolls: () => openPolls,
    /** As after the loss of its database. */
    forgetMiners: () => miners.clear(),
    setHeartbeatSeconds(seconds: number): void {
      heartbeatSeconds = seconds;
    },
    setClockAhead(ms: number): void {
      clockAheadMs = ms;
    },
    close,
    /** The same port and the same state, as after a restart. */
    reopen: () => listen(port),
  };
};
export type CoordinatorServer = Awaited<ReturnType<typeof startCoordinatorServer>>;
