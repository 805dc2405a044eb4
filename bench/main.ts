import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Stack, startStack } from '../scripts/stack.ts';
import { batchCycles, dispatchLatency, fill, pollCost, singleCycles } from './cycles.ts';
import { dispatchWorkers } from './dispatch.ts';
import { call, demand, hammer, median, percentile, readMetrics } from './load.ts';
import { scaling } from './scaling.ts';
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
    help: { type: 'boolean', short: 'h' },
  },
});

/** Seconds in a row in which the index must be complete: dropped offers are noticed within one. */
const REST_LOOKS = 4;
const REST_MAX_MS = 900_000;
/** Full cycles before anything is measured: until the processes have compiled what they run. */
const WARM_UP_JOBS = 1_000;

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

const submitAgainstEcho = async (stack: Stack, echo: string, rounds: number, seconds: number) => {
  const client = stack.keys.client as string;
  const submit = () =>
    call(stack.url, 'POST', '/v1/client/jobs', client, job).then((answer) => demand(answer, 201));
  const reference = () =>
    call(echo, 'POST', '/v1/client/jobs', client, job).then((answer) => demand(answer, 201));
  await hammer(WIDTH, 1, submit);
  await hammer(WIDTH, 1, reference);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    ours.push((await hammer(WIDTH, seconds, submit)).perSecond);
    theirs.push((await hammer(WIDTH, seconds, reference)).perSecond);
  }
  return {
    ours: median(ours),
    theirs: median(theirs),
    ratio: median(ours.map((value, i) => value / (theirs[i] ?? 1))),
  };
};

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

/** The whole system in a scratch folder, with a client that has money. */
const withSystem = async (
  use: (stack: Stack, keys: { client: string; miner: string }) => Promise<void>,
): Promise<void> => {
  const dataDir = mkdtempSync(join(tmpdir(), 'bench-'));
  say('Starting the system ...');
  const stack = await startStack({
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

    await singleCycles(stack.url, keys, { jobs: values.quick ? WARM_UP_JOBS / 4 : WARM_UP_JOBS });
    const latency = await dispatchLatency(stack.url, keys, {
      perSecond: 100,
      seconds: values.quick ? 5 : 15,
    });
    row(
      "submit → job in a miner's hands, 100 jobs/s, p50",
      `${percentile(latency, 0.5).toFixed(1)} ms`,
      'at most 10',
    );
    row(
      "submit → job in a miner's hands, 100 jobs/s, p99",
      `${percentile(latency, 0.99).toFixed(1)} ms`,
      'at most 50',
    );

    const single = await singleCycles(stack.url, keys, { jobs: values.quick ? 1_000 : 5_000 });
    row(
      'full cycle, single requests, paid, to receipt',
      `${single.receiptsPerSecond.toFixed(0)}/s`,
      'at least 300',
    );
    row(
      'full cycle, single requests, paid, to released escrow',
      `${single.releasedPerSecond.toFixed(0)}/s`,
      'at least 300',
    );

    const batch = await batchCycles(stack.url, keys, { jobs: values.quick ? 10_000 : 50_000 });
    row('full cycle, batches, paid, to receipt', `${batch.receiptsPerSecond.toFixed(0)}/s`, 'at least 2,000');
    row(
      'full cycle, batches, paid, to released escrow',
      `${batch.releasedPerSecond.toFixed(0)}/s`,
      'at least 2,000',
    );

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
      const submit = await submitAgainstEcho(stack, echo.url, rounds, seconds);
      row(
        `submit, ${depth.toLocaleString()} waiting`,
        `${submit.ours.toFixed(0)}/s`,
        `echo ${submit.theirs.toFixed(0)}/s, ratio ${submit.ratio.toFixed(2)} (at least 0.60)`,
      );
      const poll = await pollCost(stack.url, keys, 500);
      const pollMs = median(poll.took);
      emptyPollMs ??= pollMs;
      row(
        `poll that takes a job, ${depth.toLocaleString()} waiting, p50`,
        `${pollMs.toFixed(2)} ms`,
        `${(pollMs / emptyPollMs).toFixed(2)}× of ${depths[0]?.toLocaleString()} waiting (at most 2)`,
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

const stream = async (stack: Stack, keys: { client: string; miner: string }) => {
  const size = {
    width: Number(values.streams),
    rounds: values.quick ? 2 : 5,
    turns: values.quick ? 1 : Number(values.rounds),
  };
  const { first, whole, streams, tokens } = await streaming(stack, keys, size);
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
};

if (values.help) say(usage);
else if (values.part === 'dispatch') await dispatchWorkers([1, 2, 4], values.quick ? 0.2 : 1);
else if (values.part === 'work') await withSystem(work);
else if (values.part === 'stream') await withSystem(stream);
else if (values.part === 'scaling') await scaling({ jobs: values.quick ? 2_000 : 20_000 });
else if (values.part === undefined) await withSystem(main);
else {
  console.error(`There is no part named ${values.part}.\n\n${usage}`);
  process.exitCode = 2;
}
