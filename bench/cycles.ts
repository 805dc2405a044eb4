import { randomUUID } from 'node:crypto';
import { call, demand } from './load.ts';

interface Keys {
  client: string;
  miner: string;
}

const parameters = { text: 'Guten Morgen, liebe Welt' };
const PRICE = 0.001;
/** A poll that is open for so long is a poll that waits. */
const OPEN_MS = 20;

/** Each part of the bench has a job type of its own, so that one part's leftovers are not another's work. */
type JobType = 'language_detection' | 'custom' | 'ocr';
const submission = (job_type: JobType, more: object = {}) => ({
  job_type,
  parameters:
    job_type === 'custom'
      ? { input: parameters }
      : job_type === 'ocr'
        ? { image_base64: 'aGVsbG8gd29ybGQh' }
        : parameters,
  ttl_seconds: 86_400,
  ...more,
});

export const registerMiner = async (
  url: string,
  key: string,
  jobType: JobType,
  concurrency: number,
): Promise<string> => {
  const registration = {
    address: 'bench',
    capabilities: [jobType],
    gpus: [],
    models: [],
    concurrency,
    name: `bench-${randomUUID()}`,
  };
  return demand(await call(url, 'POST', '/v1/miner/register', key, registration), 200, 201).body.id;
};

export const beat = (url: string, key: string, miner: string) => {
  const timer = setInterval(() => {
    call(url, 'POST', '/v1/miner/heartbeat', key, { miner_id: miner }).catch(() => {});
  }, 5_000);
  return () => clearInterval(timer);
};

export const poll = async (url: string, key: string, miner: string, maxJobs: number, waitSeconds: number) =>
  demand(
    await call(
      url,
      'GET',
      `/v1/miner/jobs?wait_seconds=${waitSeconds}&max_jobs=${maxJobs}&miner_id=${miner}`,
      key,
    ),
    200,
  ).body.items as { id: string; lease: string }[];

export const report = (url: string, key: string, jobs: { id: string; lease: string }[]) => {
  const results = jobs.map((job) => ({
    job_id: job.id,
    lease: job.lease,
    status: 'completed',
    result: { language: 'de', confidence: 0.9 },
  }));
  return call(url, 'POST', '/v1/miner/result', key, results.length === 1 ? results[0] : { results }).then(
    (answer) => demand(answer, 200),
  );
};

/** One result, and the wish for the next job in the same request. */
const reportAndAsk = async (url: string, key: string, job: { id: string; lease: string }) => {
  const body = {
    job_id: job.id,
    lease: job.lease,
    status: 'completed',
    result: { language: 'de', confidence: 0.9 },
    next: { wait_seconds: 1, max_jobs: 1 },
  };
  return demand(await call(url, 'POST', '/v1/miner/result', key, body), 200).body.items as {
    id: string;
    lease: string;
  }[];
};

/** Milliseconds from sending a submit to the open poll's answer that holds the job, at a steady rate. */
export const dispatchLatency = async (
  url: string,
  keys: Keys,
  { perSecond, seconds }: { perSecond: number; seconds: number },
): Promise<number[]> => {
  const miner = await registerMiner(url, keys.miner, 'language_detection', 64);
  const stopBeat = beat(url, keys.miner, miner);
  const sentAt = new Map<string, number>();
  const gotAt = new Map<string, number>();
  const total = perSecond * seconds;
  let isOver = false;
  const polls = Array.from({ length: 16 }, async () => {
    while (!isOver) {
      const jobs = await poll(url, keys.miner, miner, 1, 2);
      for (const job of jobs) gotAt.set(job.id, performance.now());
      if (jobs.length > 0) await report(url, keys.miner, jobs);
    }
  });
  const startedAt = performance.now();
  const submits: Promise<void>[] = [];
  for (let i = 0; i < total; i++) {
    const dueAt = startedAt + (i * 1_000) / perSecond;
    while (performance.now() < dueAt) await new Promise((resolve) => setTimeout(resolve, 1));
    const at = performance.now();
    submits.push(
      call(url, 'POST', '/v1/client/jobs', keys.client, submission('language_detection')).then((answer) => {
        sentAt.set(demand(answer, 201).body.id, at);
      }),
    );
  }
  await Promise.all(submits);
  const until = performance.now() + 20_000;
  while (gotAt.size < total && performance.now() < until)
    await new Promise((resolve) => setTimeout(resolve, 10));
  isOver = true;
  await Promise.all(polls);
  stopBeat();
  if (gotAt.size < total) throw new Error(`${total - gotAt.size} of ${total} jobs never reached the miner`);
  return [...sentAt].map(([id, at]) => (gotAt.get(id) as number) - at);
};

/** The same with nothing else to do: each job is submitted when a poll has waited for a while, and one after the other. */
export const idleLatency = async (url: string, keys: Keys, jobs: number): Promise<number[]> => {
  const miner = await registerMiner(url, keys.miner, 'language_detection', 64);
  const stopBeat = beat(url, keys.miner, miner);
  const took: number[] = [];
  for (let i = 0; i < jobs; i++) {
    const polled = poll(url, keys.miner, miner, 1, 20);
    await new Promise((resolve) => setTimeout(resolve, OPEN_MS));
    const at = performance.now();
    const sent = call(url, 'POST', '/v1/client/jobs', keys.client, submission('language_detection'));
    const items = await polled;
    took.push(performance.now() - at);
    demand(await sent, 201);
    if (items.length !== 1) throw new Error('an open poll was answered with nothing although a job came');
    await report(url, keys.miner, items);
  }
  stopBeat();
  return took;
};

const countReleased = async (url: string, client: string, label: string): Promise<number> => {
  let released = 0;
  let cursor: string | null = null;
  do {
    const page: { items: { payment_status: string }[]; next_cursor: string | null } = demand(
      await call(
        url,
        'GET',
        `/v1/client/jobs?limit=500&label=${label}${cursor === null ? '' : `&cursor=${cursor}`}`,
        client,
      ),
      200,
    ).body;
    released += page.items.filter((job) => job.payment_status === 'released').length;
    cursor = page.next_cursor;
  } while (cursor !== null);
  return released;
};

/** What stands in escrow for this client's payments. */
const heldBy = async (url: string, client: string): Promise<number> => {
  const { user_id } = demand(await call(url, 'GET', '/v1/users/me', client), 200).body;
  return demand(await call(url, 'GET', `/v1/users/${user_id}/balance`, client), 200).body.held;
};

/** One small question at a time: what all its jobs became is read afterwards, when nothing is measured any more. */
const untilReleased = async (url: string, client: string, heldBefore: number): Promise<void> => {
  const until = performance.now() + 120_000;
  for (;;) {
    const held = await heldBy(url, client);
    if (held <= heldBefore) return;
    if (performance.now() > until)
      throw new Error(`${held - heldBefore} AITBC were still in escrow after two minutes`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

const assertReleased = async (url: string, client: string, label: string, jobs: number): Promise<void> => {
  const until = performance.now() + 10_000;
  for (;;) {
    const released = await countReleased(url, client, label);
    if (released === jobs) return;
    // What payments has released jobs hears of a moment later.
    if (performance.now() > until) throw new Error(`${released} of ${jobs} payments were released`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
};

/** Runs when all is done and before it is looked through: the time to look at what it cost. */
type OnReleased = () => Promise<void>;
interface Run {
  readonly jobs: number;
  readonly onReleased?: OnReleased;
}
const nothing = async () => {};

interface Cycles {
  receiptsPerSecond: number;
  releasedPerSecond: number;
}

const cycles = async (
  url: string,
  keys: Keys,
  jobs: number,
  shape: {
    submitters: number;
    perSubmit: number;
    miners: number;
    pollers: number;
    maxJobs: number;
    /** A result asks for the next job. */
    asks?: boolean;
  },
  onReleased: OnReleased,
): Promise<Cycles> => {
  const label = `bench-${randomUUID().slice(0, 8)}`;
  const heldBefore = await heldBy(url, keys.client);
  const one = submission('custom', { payment_amount: PRICE, labels: [label] });
  const miners = await Promise.all(
    Array.from({ length: shape.miners }, () => registerMiner(url, keys.miner, 'custom', 64)),
  );
  const stopBeats = miners.map((miner) => beat(url, keys.miner, miner));
  let submitted = 0;
  let done = 0;
  const startedAt = performance.now();
  const submitters = Array.from({ length: shape.submitters }, async () => {
    while (submitted < jobs) {
      const size = Math.min(shape.perSubmit, jobs - submitted);
      submitted += size;
      if (size === 1 && shape.perSubmit === 1)
        demand(await call(url, 'POST', '/v1/client/jobs', keys.client, one), 201);
      else {
        const body = { jobs: Array.from({ length: size }, () => one) };
        demand(await call(url, 'POST', '/v1/client/jobs/batch', keys.client, body), 207);
      }
    }
  });
  const pollers = Array.from({ length: shape.pollers }, async (_, index) => {
    const miner = miners[index % miners.length] as string;
    let taken: { id: string; lease: string }[] = [];
    while (done < jobs || taken.length > 0) {
      if (taken.length === 0) taken = await poll(url, keys.miner, miner, shape.maxJobs, 1);
      const [first] = taken;
      if (first === undefined) continue;
      const got = taken.length;
      if (shape.asks === true) taken = await reportAndAsk(url, keys.miner, first);
      else {
        await report(url, keys.miner, taken);
        taken = [];
      }
      done += got;
    }
  });
  await Promise.all([...submitters, ...pollers]);
  const receiptsAt = performance.now();
  await untilReleased(url, keys.client, heldBefore);
  const releasedAt = performance.now();
  for (const stop of stopBeats) stop();
  await onReleased();
  await assertReleased(url, keys.client, label, jobs);
  return {
    receiptsPerSecond: jobs / ((receiptsAt - startedAt) / 1_000),
    releasedPerSecond: jobs / ((releasedAt - startedAt) / 1_000),
  };
};

/** Submit → poll → result, one job a request, paid from escrow. */
export const singleCycles = (url: string, keys: Keys, { jobs, onReleased = nothing }: Run): Promise<Cycles> =>
  cycles(url, keys, jobs, { submitters: 12, perSubmit: 1, miners: 4, pollers: 24, maxJobs: 1 }, onReleased);

/** The same, and each result asks for the next job: one request less a job. */
export const askingCycles = (url: string, keys: Keys, { jobs, onReleased = nothing }: Run): Promise<Cycles> =>
  cycles(
    url,
    keys,
    jobs,
    { submitters: 12, perSubmit: 1, miners: 4, pollers: 24, maxJobs: 1, asks: true },
    onReleased,
  );

/** The same with batch submit, many jobs a poll and batch results. */
export const batchCycles = (url: string, keys: Keys, { jobs, onReleased = nothing }: Run): Promise<Cycles> =>
  cycles(url, keys, jobs, { submitters: 2, perSubmit: 250, miners: 8, pollers: 16, maxJobs: 32 }, onReleased);

/** Puts `count` unpaid jobs into the queue that {@link pollCost} polls. */
export const fill = async (
  url: string,
  client: string,
  count: number,
  onProgress: (done: number, total: number) => void,
): Promise<{ perSecond: number }> => {
  if (count <= 0) return { perSecond: 0 };
  const startedAt = performance.now();
  let given = 0;
  let done = 0;
  const one = submission('ocr');
  const loop = async () => {
    while (given < count) {
      const size = Math.min(1_000, count - given);
      given += size;
      const answer = await call(url, 'POST', '/v1/client/jobs/batch', client, {
        jobs: Array.from({ length: size }, () => one),
      });
      demand(answer, 207);
      done += size;
      onProgress(done, count);
    }
  };
  await Promise.all([loop(), loop()]);
  return { perSecond: count / ((performance.now() - startedAt) / 1_000) };
};

/** Polls one job at a time; each is submitted just before when none waits, so that an empty queue can be measured. */
export const pollCost = async (url: string, keys: Keys, polls: number) => {
  const miner = await registerMiner(url, keys.miner, 'ocr', 64);
  const stopBeat = beat(url, keys.miner, miner);
  const took: number[] = [];
  for (let i = 0; i < polls; i++) {
    demand(await call(url, 'POST', '/v1/client/jobs', keys.client, submission('ocr')), 201);
    const at = performance.now();
    const jobs = await poll(url, keys.miner, miner, 1, 10);
    took.push(performance.now() - at);
    if (jobs.length !== 1) throw new Error('a poll came back empty although a job waits');
    await report(url, keys.miner, jobs);
  }
  stopBeat();
  return { took };
};
