import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, routes } from '@aitbc/contracts';
import { must, type Work } from './coordinator.ts';

/** Longer than any long-poll; a request that outlives it has lost its other end. */
const ANSWER_WITHIN_MS = 30_000;
/** Trouble that passes by itself. 500 is not among them: nothing that is killed makes one. */
const PASSING = new Set([429, 502, 503, 504]);

type Answer = { ok: boolean; status: number; body: unknown };

/**
 * Asks until there is a definite answer, as a careful caller does: again after a lost connection or passing trouble.
 * What creates or moves something needs an Idempotency-Key for this.
 */
export const persist = async <T extends Answer>(
  call: (signal: AbortSignal) => Promise<T>,
  leaving?: AbortSignal,
): Promise<T> => {
  for (let waitMs = 25; ; waitMs = Math.min(waitMs * 2, 500)) {
    const timeout = AbortSignal.timeout(ANSWER_WITHIN_MS);
    try {
      const answer = await call(leaving === undefined ? timeout : AbortSignal.any([timeout, leaving]));
      const code = (answer.body as { error?: { code?: string } } | undefined)?.error?.code;
      if (!PASSING.has(answer.status) && code !== 'IDEMPOTENCY_KEY_IN_USE') return answer;
    } catch (error) {
      // fetch says `TypeError: fetch failed` whenever there was no answer; a cut-off body is no JSON.
      const isPassing = error instanceof TypeError || error instanceof SyntaxError || timeout.aborted;
      if (leaving?.aborted === true || !isPassing) throw error;
    }
    await sleep(waitMs, undefined, leaving === undefined ? {} : { signal: leaving });
  }
};

export interface Played {
  /** Results that the coordinator took, by job: the leases under which. */
  readonly accepted: Map<string, Set<string>>;
  /** Refusals of results, by code. */
  readonly refused: Map<string, number>;
}
export const nothingPlayed = (): Played => ({ accepted: new Map(), refused: new Map() });

/**
 * Plays a miner until `leaving`: polls, works, reports in one request, beats its heart.
 * @param options.work what the result of a job is; null dies with the jobs in hand, without a word
 */
export const playMiner = async (options: {
  caller: Client;
  minerId: string;
  maxJobs: number;
  work: (items: readonly Work[]) => Promise<unknown[]> | unknown[] | null;
  played: Played;
  leaving: AbortSignal;
  heartbeatEveryMs?: number;
}): Promise<{ died: boolean; held: readonly Work[] }> => {
  const { caller, minerId, maxJobs, work, played, leaving } = options;
  const gone = new AbortController();
  const alive = AbortSignal.any([leaving, gone.signal]);
  let inflight: readonly Work[] = [];
  const heart = async () => {
    while (!alive.aborted) {
      const body = { miner_id: minerId, inflight: inflight.map(({ id }) => id) };
      must(await persist((signal) => caller.call(routes.miners.heartbeat, { body, signal }), alive));
      await sleep(options.heartbeatEveryMs ?? 3_000, undefined, { signal: alive });
    }
  };
  const beating = heart().catch((error) => {
    if (!alive.aborted) throw error;
  });
  try {
    while (!alive.aborted) {
      const query = { wait_seconds: 5, max_jobs: maxJobs, miner_id: minerId };
      const poll = await persist((signal) => caller.call(routes.jobs.poll, { query, signal }), alive);
      inflight = must(poll).items;
      if (inflight.length === 0) continue;
      const done = work(inflight);
      if (done === null) return { died: true, held: inflight };
      const values = await done;
      const results = inflight.map(({ id, lease }, at) => ({
        job_id: id,
        lease,
        status: 'completed' as const,
        result: values[at],
      }));
      // Not cut short by leaving: what was done is told.
      const verdicts = must(
        await persist((signal) => caller.call(routes.jobs.result, { body: { results }, signal })),
      );
      if ('receipt' in verdicts) throw new Error('a batch must be answered item by item');
      for (const [at, { verdict, error }] of verdicts.items.entries()) {
        const { id, lease } = inflight[at] as Work;
        if (verdict?.status === 'completed') {
          played.accepted.set(id, (played.accepted.get(id) ?? new Set()).add(lease));
        } else {
          const code = error?.code ?? verdict?.status ?? 'nothing';
          played.refused.set(code, (played.refused.get(code) ?? 0) + 1);
        }
      }
      inflight = [];
    }
  } catch (error) {
    if (!alive.aborted) throw error;
  } finally {
    gone.abort();
    await beating;
  }
  return { died: false, held: [] };
};

/** All items of a list, page by page. */
export const every = async <I>(
  page: (cursor: { cursor?: string }) => Promise<{ items: I[]; next_cursor: string | null }>,
): Promise<I[]> => {
  const all: I[] = [];
  let cursor: string | null = null;
  do {
    const { items, next_cursor }: { items: I[]; next_cursor: string | null } = await page(
      cursor === null ? {} : { cursor },
    );
    all.push(...items);
    cursor = next_cursor;
  } while (cursor !== null);
  return all;
};

/** The values that stand more than once in a list. */
export const repeated = <T>(values: readonly T[]): T[] => {
  const seen = new Set<T>();
  return values.filter((value) => seen.has(value) || !seen.add(value));
};
