import { randomUUID } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Stack } from '../scripts/stack.ts';
import { beat, poll, registerMiner, report } from './cycles.ts';
import { call, demand } from './load.ts';
import { openPages } from './open-pages.ts';
import { drawSoak } from './soak-plot.ts';
import { type Sample, watch } from './soak-samples.ts';

const CONTENT_MINUTES = 1;
const KEPT_MINUTES = 3;
const days = (minutes: number): string => String(minutes / 1_440);

/** What is kept for days is kept for minutes, so that a run sees every period come full, many times. */
export const SHORT_PERIODS = {
  KEEP_CONTENT_DAYS: days(CONTENT_MINUTES),
  KEEP_JOBS_DAYS: days(KEPT_MINUTES),
  KEEP_IDEMPOTENCY_KEYS_DAYS: days(KEPT_MINUTES),
  KEEP_DELIVERIES_DAYS: days(KEPT_MINUTES),
  KEEP_ATTEMPTS_DAYS: days(KEPT_MINUTES),
};

const SAMPLE_EVERY_MS = 10_000;
/** Counting the pages of each table reads a whole file. */
const TABLES_EVERY = 30;
/** A look at an open page collects its garbage: seldom enough that the page also runs into its own collections. */
const PAGES_EVERY = 6;
const BATCH = 250;
const SUBMITTERS = 2;
/** One batch of so many is paid, and its account is told of each payment by a webhook. */
const PAID_EVERY = 10;
const PRICE = 0.001;
const MINERS = 8;
const POLLERS = 8;
const MAX_JOBS = 32;
/** Waiting or running at most: what is measured is what jobs leave, not a queue. */
const OPEN_MAX = 4_000;
const TRIES = 100;
const TEXTS = Array.from({ length: 16 }, (_, n) => 'Guten Morgen, liebe Welt. '.repeat(4 + n * 3));

/** Hours pass in which something is away for a moment: asked again, and counted. */
const createPatience = () => {
  let refused = 0;
  const patiently = async <T>(ask: () => Promise<T>): Promise<T> => {
    for (let tries = 1; ; tries++) {
      try {
        return await ask();
      } catch (error) {
        refused += 1;
        if (tries >= TRIES) throw error;
        if (refused % 100 === 1) console.error(`asked again: ${(error as Error).message}`);
        await pause(1_000);
      }
    }
  };
  return { patiently, refused: () => refused };
};

const startListener = async () => {
  let heard = 0;
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      heard += 1;
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard: () => heard,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
};

export interface SoakOptions {
  readonly jobs: number;
  readonly minutes: number;
  /** Samples and pictures go there. */
  readonly folder: string;
}

/**
 * Jobs through submit, poll and report for as long as it takes, beside periods of minutes; what each file and process
 * takes is written down, and drawn at the end.
 */
export const soak = async (stack: Stack, { jobs, minutes, folder }: SoakOptions): Promise<void> => {
  const keys = stack.keys as Record<'client' | 'client2' | 'miner' | 'admin', string>;
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'soak.ndjson');
  writeFileSync(path, '');
  const { patiently, refused } = createPatience();
  const listener = await startListener();
  const me = demand(await call(stack.url, 'GET', '/v1/users/me', keys.client2), 200).body;
  const credit = { amount: 1_000_000, reason: 'bench' };
  demand(
    await call(stack.url, 'POST', `/v1/admin/accounts/${me.user_id}/credit`, keys.admin, credit),
    200,
    201,
  );
  const webhook = { url: listener.url, events: ['payment.released'] };
  demand(await call(stack.url, 'POST', '/v1/users/me/webhooks', keys.client2, webhook), 201);

  const miners = await Promise.all(
    Array.from({ length: MINERS }, () => registerMiner(stack.url, keys.miner, 'language_detection', 64)),
  );
  const stopBeats = miners.map((miner) => beat(stack.url, keys.miner, miner));
  const until = performance.now() + minutes * 60_000;
  let [submitted, done, batches] = [0, 0, 0];
  const isOver = () => submitted >= jobs || performance.now() >= until;

  const submit = async (): Promise<void> => {
    while (!isOver()) {
      if (submitted - done >= OPEN_MAX) {
        await pause(20);
        continue;
      }
      const isPaid = ++batches % PAID_EVERY === 0;
      const more = isPaid ? { payment_amount: PRICE } : {};
      const body = {
        jobs: Array.from({ length: BATCH }, (_, n) => ({
          job_type: 'language_detection',
          parameters: { text: `${TEXTS[n % TEXTS.length]}${batches}` },
          ttl_seconds: 86_400,
          labels: [`soak-${batches % 100}`],
          ...more,
        })),
      };
      submitted += BATCH;
      const key = randomUUID();
      await patiently(async () =>
        demand(
          await call(stack.url, 'POST', '/v1/client/jobs/batch', isPaid ? keys.client2 : keys.client, body, {
            'idempotency-key': key,
          }),
          207,
        ),
      );
    }
  };
  let areAllSubmitted = false;
  const work = async (miner: string): Promise<void> => {
    while (!areAllSubmitted || done < submitted) {
      const taken = await patiently(() => poll(stack.url, keys.miner, miner, MAX_JOBS, 2));
      if (taken.length === 0) {
        // What was lost in a restart is given out again, or ends, in its own time.
        if (areAllSubmitted) return;
        continue;
      }
      await patiently(() => report(stack.url, keys.miner, taken));
      done += taken.length;
    }
  };

  const pages = await openPages(stack.url, keys.client);
  const watching = await watch(stack, pages);
  const samples: Sample[] = [];
  const sample = async (withPages: boolean, withTables: boolean): Promise<void> => {
    const one = await watching.look(done, withPages, withTables);
    samples.push(one);
    appendFileSync(path, `${JSON.stringify(one)}\n`);
    if (samples.length % 6 === 1)
      console.log(
        `${String(one.seconds).padStart(6)} s ${String(done).padStart(9)} jobs  ${Object.entries(one.files)
          .filter(([, bytes]) => bytes > 1e6)
          .map(([name, bytes]) => `${name} ${(bytes / 1e6).toFixed(0)}`)
          .join(', ')} MB  Redis ${one.redis.mb.toFixed(0)} MB, ${one.redis.keys} keys`,
      );
  };
  let isStopped = false;
  const sampling = (async () => {
    for (let n = 0; !isStopped; n++) {
      const at = performance.now();
      await sample(n % PAGES_EVERY === 0, n % TABLES_EVERY === 0).catch((error) =>
        console.error('a sample failed', error),
      );
      while (!isStopped && performance.now() < at + SAMPLE_EVERY_MS) await pause(100);
    }
  })();

  const polling = Array.from({ length: POLLERS }, (_, n) => work(miners[n % MINERS] as string));
  await Promise.all(Array.from({ length: SUBMITTERS }, submit));
  areAllSubmitted = true;
  await Promise.all(polling);
  const seconds = performance.now();
  // One period more, with nothing that comes.
  await pause((KEPT_MINUTES + 1) * 60_000);
  isStopped = true;
  await sampling;
  await sample(true, true);
  for (const stop of stopBeats) stop();
  watching.close();
  await pages?.close();
  listener.stop();
  console.log(
    `${done} of ${submitted} jobs were reported in ${((seconds - until) / 60_000 + minutes).toFixed(0)} minutes; ${listener.heard()} webhooks heard; asked again ${refused()} times`,
  );
  for (const fault of pages?.faults() ?? []) console.log(`an open page: ${fault}`);
  drawSoak(samples, folder);
};

/** Draws again what a run wrote down. */
export const drawAgain = (folder: string): void => {
  const lines = readFileSync(join(folder, 'soak.ndjson'), 'utf8').trim().split('\n');
  drawSoak(
    lines.map((line) => JSON.parse(line)),
    folder,
  );
};
