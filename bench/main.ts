import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { buildConsole } from '../scripts/console.ts';
import { type Stack, startStack } from '../scripts/stack.ts';
import { against } from './against.ts';
import {
  askingCycles,
  batchCycles,
  dispatchLatency,
  fill,
  idleLatency,
  pollCost,
  singleCycles,
} from './cycles.ts';
import { dispatchWorkers } from './dispatch.ts';
import { call, demand, hammer, median, percentile, readMetrics } from './load.ts';
import { PURGED_SOON, whilePurging } from './purge.ts';
import { atRest, rssMbOf } from './rest.ts';
import { scaling } from './scaling.ts';
import { drawAgain, SHORT_PERIODS, soak } from './soak.ts';
import { streaming } from './stream.ts';
import { workOfJobs, workTable } from './work-table.ts';

const usage = `npm run bench -- [options]

Starts the whole system in a scratch folder and measures it through the gateway, with a bare Express echo behind the
same proxy library measured in the same run, in turns. Takes about 15 minutes; everything runs on loopback.

  --depths 0,10000,1000000   jobs waiting while submit and poll are measured
  --seconds 5                length of each round of single requests
  --rounds 3                 rounds of system and reference, in turns; medians are printed
  --quick                    depths 0 and 10000, one round of 2 s
  --dispatchers 2            dispatch workers
  --part work                instead: what one job costs, counted: SQL, Redis, messages, processor time
  --part dispatch            instead: dispatch alone against 1, 2 and 4 workers, and what a match costs them and Redis
  --part stream              instead: streamed chats through a miner, and straight from its model server, in turns
  --streams 20               so many at once
  --part against             instead: paid cycles here and in the checkout of --folder, in turns: processor time and throughput
  --folder ../before         that checkout, with its node_modules
  --part soak                instead: jobs beside periods of minutes; what every file, process and open page takes, written down and drawn
  --jobs 2000000             so many, in at most --minutes 600; --folder soak: there
  --part growth              instead: memory of each process before 100,000 paid jobs, after them, and a quiet minute later
  --part purge               instead: submits while old jobs are purged and while none are due, in turns
  --part soak-plot           instead: draws again what is in --folder soak
  --part scaling             instead: paid batched cycles on SQLite, and on PostgreSQL with 1 and 2 processes of jobs and payments`;

const { values } = parseArgs({
  options: {
    depths: { type: 'string', default: '0,10000,1000000' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    dispatchers: { type: 'string', default: '2' },
    quick: { type: 'boolean', default: false },
    streams: { type: 'string', default: '20' },
    part: { type: 'string' },
    folder: { type: 'string' },
    jobs: { type: 'string', default: '2000000' },
    minutes: { type: 'string', default: '600' },
    help: { type: 'boolean', short: 'h' },
  },
});

/** Seconds in a row in which the index must be complete: dropped offers are noticed within one. */
const REST_LOOKS = 4;
const REST_MAX_MS = 900_000;
/** Full cycles before anything is measured: until the processes have compiled what they run. */
const WARM_UP_JOBS = 1_000;

/** In which a process that has nothing to do gives memory back. */
const QUIET_MS = 20_000;

/** After many jobs, until what they left has to be gone. */
const REST_AFTER_JOBS_MS = 60_000;

/** Requests in flight during single-request rounds: enough to fill both cores, few enough not to measure a queue. */
const WIDTH = 32;

const job = {
  job_type: 'language_detection',
  parameters: { text: 'Guten Morgen, liebe Welt' },
  ttl_seconds: 86_400,
};

const say = (text: string) => console.log(text);
const row = (what: string, figure: string, goal: string) =>
  say(`${what.padEnd(58)}${figure.padStart(24)}   ${goal}`);

const startEcho = async (): Promise<{ url: string; processes: ChildProcess[] }> => {
  const script = join(import.meta.dirname, 'echo.ts');
  const upstream = fork(script, ['upstream']);
  const [upstreamPort] = await once(upstream, 'message');
  const proxy = fork(script, ['proxy', `http://127.0.0.1:${upstreamPort}`]);
  const [port] = await once(proxy, 'message');
  return { url: `http://127.0.0.1:${port}`, processes: [upstream, proxy] };
};

/** Both in turns; the ratio is the median of those of the rounds, so that a slow minute of the machine is in both. */
const inTurns = async (rounds: number, ours: () => Promise<number>, theirs: () => Promise<number>) => {
  const mine: number[] = [];
  const reference: number[] = [];
  for (let round = 0; round < rounds; round++) {
    mine.push(await ours());
    reference.push(await theirs());
  }
  return {
    ours: median(mine),
    theirs: median(reference),
    ratio: median(mine.map((value, round) => value / (reference[round] as number))),
  };
};

const perSecond = (seconds: number, once: () => Promise<unknown>) => async (): Promise<number> =>
  (await hammer(WIDTH, seconds, once)).perSecond;

/** After a flood of submits much is still on its way to the dispatchers; what is measured is a queue at rest. */
const untilAtRest = async (url: string): Promise<number> => {
  const startedAt = performance.now();
  for (let quiet = 0; quiet < REST_LOOKS; ) {
    const isAtRest = (await readMetrics(url))('dispatch_index_rebuilding') === 0;
    quiet = isAtRest ? quiet + 1 : 0;
    if (performance.now() - startedAt > REST_MAX_MS) throw new Error('the dispatch index was never complete');
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  return (performance.now() - startedAt) / 1_000;
};

/**
 * The whole system in a scratch folder, with a client that has money.
 * @param options.start of another checkout, to compare with; `env`: settings beside those of every part
 */
const withSystem = async (
  use: (stack: Stack, keys: { client: string; miner: string }) => Promise<void>,
  { start = startStack, env = {} }: { start?: typeof startStack; env?: NodeJS.ProcessEnv } = {},
): Promise<void> => {
  const dataDir = mkdtempSync(join(tmpdir(), 'bench-'));
  say('Starting the system ...');
  const stack = await start({
    dataDir,
    apiPort: 0,
    demoMiner: false,
    exitOnSignals: true,
    dispatchers: Number(values.dispatchers),
    extraEnv: {
      LOG_LEVEL: 'warn',
      RATE_LIMIT_CLIENT_PER_MINUTE: '1000000',
      RATE_LIMIT_MINER_PER_MINUTE: '1000000',
      RATE_LIMIT_USER_PER_MINUTE: '1000000',
      RATE_LIMIT_STREAM_PER_MINUTE: '1000000',
      ...env,
    },
    log: (line, name) => {
      if (/warn|error|"level":[456]0/i.test(line)) console.error(`${name ?? ''} ${line}`);
    },
  });
  try {
    const keys = {
      client: stack.keys.client as string,
      miner: stack.keys.miner as string,
      admin: stack.keys.admin as string,
    };
    const me = demand(await call(stack.url, 'GET', '/v1/users/me', keys.client), 200);
    const account = me.body.account_id ?? me.body.user_id ?? me.body.id;
    demand(
      await call(stack.url, 'POST', `/v1/admin/accounts/${account}/credit`, keys.admin, {
        amount: 1_000_000,
        reason: 'bench',
      }),
      200,
      201,
    );
    await use(stack, keys);
  } finally {
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
};

const main = async (stack: Stack, keys: { client: string; miner: string }) => {
  const depths = values.quick ? [0, 10_000] : values.depths.split(',').map(Number);
  const rounds = values.quick ? 1 : Number(values.rounds);
  const seconds = values.quick ? 2 : Number(values.seconds);
  const echo = await startEcho();
  try {
    say(
      `\n${new Date().toISOString()}  Node ${process.version}  ${WIDTH} requests in flight  ${values.dispatchers} dispatch workers\n`,
    );

    const rest = await atRest(stack, values.quick ? 5 : 20);
    row('idle, all processes without Redis', `${rest.cpuPercent.toFixed(1)} % of a core`, 'at most 6');
    row(
      'memory at rest, median of the processes / all of them',
      `${rest.medianMb.toFixed(0)} / ${rest.sumMb.toFixed(0)} MB`,
      `at most 95 / 850; ${rest.processes} processes`,
    );

    const client = keys.client;
    const submit = () =>
      call(stack.url, 'POST', '/v1/client/jobs', client, job).then((answer) => demand(answer, 201));
    const reference = () =>
      call(echo.url, 'POST', '/v1/client/jobs', client, job).then((answer) => demand(answer, 201));
    await singleCycles(stack.url, keys, { jobs: values.quick ? WARM_UP_JOBS / 4 : WARM_UP_JOBS });
    await hammer(WIDTH, 1, reference);

    const times = (ms: number) => `${(ms / echoMs).toFixed(1)}× the echo's ${echoMs.toFixed(2)} ms`;
    const echoMs = median((await hammer(1, seconds, reference)).took);
    const alone = await idleLatency(stack.url, keys, values.quick ? 100 : 500);
    for (const [name, share, goal] of [
      ['p50', 0.5, 6],
      ['p99', 0.99, 15],
    ] as const) {
      const ms = percentile(alone, share);
      row(
        `submit → open poll answered, one at a time, ${name}`,
        `${ms.toFixed(1)} ms`,
        `${times(ms)}, at most ${goal}×`,
      );
    }
    const latency = await dispatchLatency(stack.url, keys, {
      perSecond: 100,
      seconds: values.quick ? 5 : 15,
    });
    for (const [name, share, goal] of [
      ['p50', 0.5, 10],
      ['p99', 0.99, 50],
    ] as const)
      row(
        `submit → job in a miner's hands, 100 jobs/s, ${name}`,
        `${percentile(latency, share).toFixed(1)} ms`,
        `at most ${goal}`,
      );

    const jobs = values.quick ? 1_000 : 3_000;
    const echoPerSecond = perSecond(seconds, reference);
    for (const [name, run] of [
      ['', singleCycles],
      [', asking with the result', askingCycles],
    ] as const) {
      const cycles = await inTurns(
        rounds,
        async () => (await run(stack.url, keys, { jobs })).releasedPerSecond,
        async () => (await echoPerSecond()) / 3,
      );
      row(
        `full cycle, single, paid, to released escrow${name}`,
        `${cycles.ours.toFixed(0)}/s`,
        `echo ÷ 3 ${cycles.theirs.toFixed(0)}/s, ratio ${cycles.ratio.toFixed(2)} (at least 0.40)`,
      );
    }
    const batches: number[] = [];
    for (let round = 0; round < rounds; round++)
      batches.push(
        (await batchCycles(stack.url, keys, { jobs: values.quick ? 10_000 : 20_000 })).releasedPerSecond,
      );
    row('full cycle, batches, paid, to released escrow', `${median(batches).toFixed(0)}/s`, '');

    let emptyPollMs: number | undefined;
    let waiting = 0;
    for (const depth of depths) {
      say('');
      const filled = await fill(stack.url, keys.client, depth - waiting, (done, total) => {
        if (process.stdout.isTTY)
          process.stdout.write(
            `\r  filling the queue: ${done.toLocaleString()} of ${total.toLocaleString()}   `,
          );
      });
      if (filled.perSecond > 0)
        row(`batch submit, to ${depth.toLocaleString()} waiting`, `${filled.perSecond.toFixed(0)}/s`, '');
      const rested = await untilAtRest(stack.url);
      if (rested > REST_LOOKS + 1) row('until all of it was in the index', `${rested.toFixed(0)} s`, '');
      const submits = await inTurns(rounds, perSecond(seconds, submit), echoPerSecond);
      row(
        `submit, ${depth.toLocaleString()} waiting`,
        `${submits.ours.toFixed(0)}/s`,
        `echo ${submits.theirs.toFixed(0)}/s, ratio ${submits.ratio.toFixed(2)} (at least 0.50)`,
      );
      const poll = await pollCost(stack.url, keys, 500);
      const pollMs = median(poll.took);
      emptyPollMs ??= pollMs;
      row(
        `poll that takes a job, ${depth.toLocaleString()} waiting, p50`,
        `${pollMs.toFixed(2)} ms`,
        `${(pollMs / emptyPollMs).toFixed(2)}× of ${depths[0]?.toLocaleString()} waiting (at most 1.5)`,
      );
      waiting = depth;
    }
  } finally {
    for (const child of echo.processes) child.disconnect();
  }
};

const work = async (stack: Stack, keys: { client: string; miner: string }) => {
  const share = values.quick ? 0.2 : 1;
  await singleCycles(stack.url, keys, { jobs: WARM_UP_JOBS * share });
  const found = await workOfJobs(stack, keys, {
    single: 2_000 * share,
    asking: 2_000 * share,
    batch: 10_000 * share,
    unpaid: 1_000 * share,
  });
  say(`\n${new Date().toISOString()}  Node ${process.version}\n\n${workTable(found)}`);
};

const compareWith = async (folder: string | undefined): Promise<void> => {
  if (folder === undefined)
    throw new Error('--part against needs --folder, another checkout of this project');
  const other: { startStack: typeof startStack } = await import(resolve(folder, 'scripts/stack.ts'));
  await withSystem((ours, keys) =>
    withSystem(
      async (theirs, theirKeys) => {
        const found = await against(
          { stack: ours, keys },
          { stack: theirs, keys: theirKeys },
          values.quick
            ? { rounds: 1, single: 500, batch: 5_000 }
            : { rounds: Number(values.rounds), single: 3_000, batch: 20_000 },
        );
        say(`\n${new Date().toISOString()}  Node ${process.version}  ours beside ${folder}\n`);
        for (const { what, ours: mine, theirs: before, ratio, unit, goal } of found)
          row(
            what,
            `${mine.toFixed(2)} ${unit}`,
            `before ${before.toFixed(2)}, ratio ${ratio.toFixed(2)} (${goal})`,
          );
      },
      { start: other.startStack },
    ),
  );
};

const stream = async (stack: Stack, keys: { client: string; miner: string }) => {
  const size = {
    width: Number(values.streams),
    rounds: values.quick ? 2 : 5,
    turns: values.quick ? 1 : Number(values.rounds),
  };
  const memory = () =>
    ['jobs', 'gateway'].map((name) => {
      const pid = stack.processes.find((process) => process.name === name)?.pid;
      return pid === undefined ? Number.NaN : rssMbOf(pid);
    });
  const before = memory();
  const { first, whole, streams, tokens } = await streaming(stack, keys, size);
  const after = memory();
  await pause(QUIET_MS);
  const quiet = memory();
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  say(
    `\n${new Date().toISOString()}  Node ${process.version}  ${streams} streams of ${tokens / streams} tokens\n`,
  );
  for (const [at, name, goal] of [
    [0, 'p50', ', at most 15'],
    [1, 'p99', ''],
  ] as const)
    row(
      `first token, ${values.streams} streams at once, ${name}`,
      ms(first.ours[at]),
      `straight ${ms(first.direct[at])}, ${(first.ours[at] - first.direct[at]).toFixed(1)} ms later${goal}`,
    );
  row('whole stream, p50', ms(whole.ours), `straight ${ms(whole.direct)}`);
  for (const [at, name] of ['jobs', 'gateway'].entries())
    row(
      `memory of ${name}: before / after the streams / 20 s later`,
      [before, after, quiet].map((each) => each[at]?.toFixed(0)).join(' / '),
      'MB',
    );
};

/** What each process keeps of jobs that are done. */
const growth = async (stack: Stack, keys: { client: string; miner: string }) => {
  const memory = () =>
    stack.processes.map(({ name, pid }) => ({ name, mb: pid === undefined ? Number.NaN : rssMbOf(pid) }));
  await pause(QUIET_MS);
  const before = memory();
  const [rounds, jobs] = values.quick ? [1, 10_000] : [5, 20_000];
  for (let round = 0; round < rounds; round++) await batchCycles(stack.url, keys, { jobs });
  const after = memory();
  await pause(REST_AFTER_JOBS_MS);
  const rested = memory();
  say(`\n${new Date().toISOString()}  Node ${process.version}  ${rounds * jobs} paid jobs\n`);
  for (const [at, { name, mb }] of before.entries())
    row(
      `${name}: at rest / after the jobs / a quiet minute later`,
      [mb, after[at]?.mb, rested[at]?.mb].map((each) => each?.toFixed(0)).join(' / '),
      `MB, ${((rested[at]?.mb as number) / mb).toFixed(2)} of rest, at most 1.30`,
    );
};

const purge = async (stack: Stack, keys: { client: string; miner: string }) => {
  const rounds = await whilePurging(stack, keys, {
    rounds: values.quick ? 1 : Number(values.rounds),
    seconds: values.quick ? 2 : Number(values.seconds),
    old: values.quick ? 3_000 : 20_000,
  });
  say(`\n${new Date().toISOString()}  Node ${process.version}  ${rounds.length} rounds, medians\n`);
  for (const share of ['p50', 'p99'] as const) {
    const [quiet, purging] = [
      median(rounds.map((round) => round.quiet[share])),
      median(rounds.map((round) => round.purging[share])),
    ];
    row(
      `submit while old jobs are purged, ${share}`,
      `${purging.toFixed(1)} ms`,
      `without ${quiet.toFixed(1)} ms, ratio ${median(rounds.map((round) => round.purging[share] / round.quiet[share])).toFixed(2)}${share === 'p99' ? ', at most 1.3' : ''}`,
    );
  }
  row('rows purged meanwhile', rounds.map(({ purging }) => purging.purged).join(', '), '');
};

if (values.help) say(usage);
else if (values.part === 'dispatch') await dispatchWorkers([1, 2, 4], values.quick ? 0.2 : 1);
else if (values.part === 'work') await withSystem(work);
else if (values.part === 'stream') await withSystem(stream);
else if (values.part === 'against') await compareWith(values.folder);
else if (values.part === 'growth') await withSystem(growth);
else if (values.part === 'purge') await withSystem(purge, { env: PURGED_SOON });
else if (values.part === 'soak') {
  await buildConsole(say);
  await withSystem(
    (stack) =>
      soak(stack, {
        jobs: Number(values.jobs),
        minutes: Number(values.minutes),
        folder: values.folder ?? 'soak',
      }),
    { env: SHORT_PERIODS },
  );
} else if (values.part === 'soak-plot') drawAgain(values.folder ?? 'soak');
else if (values.part === 'scaling') await scaling({ jobs: values.quick ? 2_000 : 20_000 });
else if (values.part === undefined) await withSystem(main);
else {
  console.error(`There is no part named ${values.part}.\n\n${usage}`);
  process.exitCode = 2;
}
