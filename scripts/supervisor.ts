import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { get as getHttp } from 'node:http';
import { get as getHttps } from 'node:https';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** One line for a person; `from` names the process that said it. */
export type Log = (line: string, from?: string) => void;

export type ProcessSpec = {
  name: string;
  /** A script and its arguments, run by this same Node. */
  argv: string[];
  env?: NodeJS.ProcessEnv;
  /** Groups end one after another, the one started last first. */
  group?: string;
  /** False for a process that may end: it is left alone then. */
  restart?: boolean;
};

type ProcessState = 'running' | 'restarting' | 'ended' | 'failed';

export type ProcessStatus = {
  readonly name: string;
  readonly state: ProcessState;
  readonly pid: number | undefined;
  readonly restarts: number;
};

export type Supervisor = {
  readonly processes: readonly ProcessStatus[];
  start(spec: ProcessSpec): void;
  /** Sends a signal; what dies of it is started again like after any other death. */
  kill(name: string, signal?: NodeJS.Signals): void;
  /** Waits for 200 from the URL; rejects early when the process gave up. */
  waitHealthy(name: string, url: string, timeoutMs?: number): Promise<void>;
  /** Ends everything in order: SIGTERM group by group, SIGKILL for what is left after the grace period. */
  stop(): Promise<void>;
  /** Ends everything now. */
  killAll(): void;
};

export type SuperviseOptions = {
  log: Log;
  firstDelayMs?: number;
  longestDelayMs?: number;
  /** A process that ran this long is healthy: its next restart waits the first delay again. */
  healthyAfterMs?: number;
  graceMs?: number;
};

/** What a service exits with when its configuration is wrong. Starting it again would not help. */
const misconfigured = 2;
const leash = new URL('./leash.ts', import.meta.url).href;
/**
 * MB of new objects between two collections, of each half. Node's own 32 are more than a processor keeps near it: with 8 a job
 * costs a tenth less processor time, and a service that works holds a third less memory (docs/decisions/0033-counted-work.md).
 */
const youngMb = '--max-semi-space-size=8';
/**
 * Node uses next to nothing of a second arena, and each keeps what it was given. Above 4 MB what is free at the end goes back to the
 * machine; without a number that threshold, and the size from which a block is its own, rise with the largest block that was ever freed
 * (mallopt(3)). 50 to 60 MB less of all nine processes at rest.
 */
const memoryEnv = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '4000000',
  MALLOC_MMAP_THRESHOLD_: '4000000',
};

type Entry = {
  spec: ProcessSpec;
  state: ProcessState;
  child: ChildProcess | undefined;
  startedAt: number;
  restarts: number;
  quickDeaths: number;
  timer: NodeJS.Timeout | undefined;
};

export function supervise(specs: readonly ProcessSpec[], options: SuperviseOptions): Supervisor {
  const { log, firstDelayMs = 1_000, longestDelayMs = 30_000, healthyAfterMs = 60_000 } = options;
  // Longer than the 10 s that a service gives its own drain.
  const { graceMs = 12_000 } = options;
  const entries = new Map<string, Entry>();
  let stopping: Promise<void> | undefined;

  const launch = (entry: Entry): void => {
    const { name, argv, env = process.env } = entry.spec;
    const child = spawn(process.execPath, [youngMb, '--import', leash, ...argv], {
      env: { ...memoryEnv, ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // A group of its own: Ctrl-C in the terminal reaches only the supervisor, which then keeps the order.
      detached: true,
    });
    entry.child = child;
    entry.state = 'running';
    entry.startedAt = performance.now();
    for (const stream of [child.stdout, child.stderr])
      if (stream) createInterface({ input: stream }).on('line', (line) => log(line, name));
    child.once('error', (error) => {
      log(error.message, name);
      if (child.pid === undefined) ended(entry, null, null); // never started, so no exit follows
    });
    child.once('exit', (code, signal) => ended(entry, code, signal));
  };

  const ended = (entry: Entry, code: number | null, signal: NodeJS.Signals | null): void => {
    const { spec } = entry;
    entry.child = undefined;
    if (stopping || (spec.restart === false && code === 0)) {
      entry.state = 'ended';
      return;
    }
    const how = signal ? `was ended by ${signal}` : `exited with code ${code ?? 'none'}`;
    if (spec.restart === false || code === misconfigured) {
      entry.state = 'failed';
      log(`${how}, and is not started again`, spec.name);
      return;
    }
    const wasHealthy = performance.now() - entry.startedAt >= healthyAfterMs;
    const delay = Math.min(firstDelayMs * 2 ** (wasHealthy ? 0 : entry.quickDeaths), longestDelayMs);
    entry.quickDeaths = wasHealthy ? 0 : entry.quickDeaths + 1;
    entry.state = 'restarting';
    log(`${how}, starting it again in ${delay / 1_000} s`, spec.name);
    entry.timer = setTimeout(() => {
      entry.restarts += 1;
      launch(entry);
    }, delay);
  };

  const start = (spec: ProcessSpec): void => {
    if (stopping) return;
    if (entries.has(spec.name)) throw new Error(`a process named ${spec.name} is there already`);
    const entry: Entry = {
      spec,
      state: 'running',
      child: undefined,
      startedAt: 0,
      restarts: 0,
      quickDeaths: 0,
      timer: undefined,
    };
    entries.set(spec.name, entry);
    launch(entry);
  };

  const drain = async (): Promise<void> => {
    for (const entry of entries.values()) {
      clearTimeout(entry.timer);
      if (entry.state === 'restarting') entry.state = 'ended';
    }
    const groups = new Set([...entries.values()].map((entry) => entry.spec.group));
    for (const group of [...groups].reverse()) {
      const members = [...entries.values()].filter((entry) => entry.spec.group === group && entry.child);
      await Promise.all(members.reverse().map((entry) => endGently(entry, graceMs, log)));
    }
  };

  for (const spec of specs) start(spec);

  return {
    get processes() {
      return [...entries.values()].map(({ spec, state, child, restarts }) => {
        return { name: spec.name, state, pid: child?.pid, restarts };
      });
    },
    start,
    kill(name, signal = 'SIGTERM') {
      const entry = entries.get(name);
      if (!entry) throw new Error(`no process is named ${name}: ${[...entries.keys()].join(', ')}`);
      entry.child?.kill(signal);
    },
    waitHealthy(name, url, timeoutMs = 60_000) {
      const gaveUp = () =>
        entries.get(name)?.state === 'failed' ? `${name} ended during its start` : undefined;
      return waitHealthy(url, timeoutMs, gaveUp);
    },
    stop() {
      stopping ??= drain();
      return stopping;
    },
    killAll() {
      stopping ??= Promise.resolve();
      for (const { child, timer } of entries.values()) {
        clearTimeout(timer);
        if (child) killGroup(child);
      }
    },
  };
}

async function endGently({ child, spec }: Entry, graceMs: number, log: Log): Promise<void> {
  if (!child) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const force = setTimeout(() => {
    log(`did not end within ${graceMs / 1_000} s and is killed`, spec.name);
    killGroup(child);
  }, graceMs);
  await gone;
  clearTimeout(force);
}

/** Takes along what the child itself had started. */
function killGroup(child: ChildProcess): void {
  try {
    if (child.pid) process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
}

/** Waits until the URL answers 200; `gaveUp` may end the wait early with a reason. */
async function waitHealthy(
  url: string,
  timeoutMs: number,
  gaveUp: () => string | undefined = () => undefined,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let last = '';
  while (performance.now() < deadline) {
    const reason = gaveUp();
    if (reason) throw new Error(reason);
    last = await askHealth(url);
    if (last === '') return;
    await sleep(100);
  }
  throw new Error(`${url} is not healthy after ${timeoutMs / 1_000} s: ${last}`);
}

/** Empty when healthy, else what is wrong. The certificate's name is no matter: this asks our own machine. */
function askHealth(url: string): Promise<string> {
  const options = { timeout: 5_000, agent: false, rejectUnauthorized: false } as const;
  return new Promise((answer) => {
    const request = (url.startsWith('https:') ? getHttps : getHttp)(url, options, async (response) => {
      let body = '';
      try {
        for await (const chunk of response.setEncoding('utf8')) body += chunk;
      } catch {
        // Cut off half-way: the status alone has to do.
      }
      answer(response.statusCode === 200 ? '' : `${response.statusCode} ${body.slice(0, 500)}`);
    });
    request.on('timeout', () => request.destroy(new Error('no answer within 5 s')));
    request.on('error', (error) => answer(error.message || String(error)));
  });
}

/** Ctrl-C, SIGTERM and a closed terminal drain and exit 0; a second Ctrl-C ends everything at once. */
export function drainOnSignals(
  { stop, killAll }: { stop(): Promise<void>; killAll(): void },
  log: Log = () => {},
): void {
  let first: number | undefined;
  const onSignal = (): void => {
    if (first === undefined) {
      first = performance.now();
      log('Stopping. Ctrl-C again ends everything at once.');
      stop().then(
        () => process.exit(0),
        (error: unknown) => {
          console.error(error);
          killAll();
          process.exit(1);
        },
      );
      return;
    }
    // One key press arrives more than once: from the terminal and, passed on, from npm.
    if (performance.now() - first < 500) return;
    killAll();
    process.exit(130);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
}
