import {
  createListeners,
  createMetrics,
  createParameters,
  openStore,
  type Store,
  type Trx,
} from '@aitbc/chassis';
import { JobSubmission, newId } from '@aitbc/contracts';
import { scratchDatabase, someone } from '@aitbc/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { migrations } from '../../migrations/index.ts';
import { createConsumers } from '../consumers.ts';
import { createErasures } from '../erasures.ts';
import { createFleet } from '../fleet.ts';
import type { Hints } from '../hints.ts';
import { createKeyring } from '../keyring.ts';
import { createLeases } from '../lease.ts';
import { createLoad } from '../load.ts';
import { createJobMetrics } from '../metrics.ts';
import { createOutput } from '../output/index.ts';
import { createPolls, type Leased } from '../polls.ts';
import { createRests } from '../rests.ts';
import { createSeen } from '../seen.ts';
import { eraseContent, setContentKept } from '../store/content.ts';
import { findJob } from '../store/jobs.ts';
import { loadOf } from '../store/load.ts';
import { contentDue } from '../store/purge.ts';
import type { MinerOffer } from '../tables.ts';
import { createWaits } from '../waits.ts';
import { createWatch } from '../watch.ts';
import type { Work } from '../work.ts';
import { cancel } from './end.ts';
import { describeAgain, minerChanged } from './miners.ts';
import { paymentsEscrowed } from './payments.ts';
import { returnLeases, startMatched } from './start.ts';
import { prepare, submit } from './submit.ts';

let store: Store;
let work: Work;
let hints: { name: string; payload: Record<string, unknown> }[];

let readsUnderWay = 0;
const countReads = (opened: Store): Store => {
  const counted =
    <A extends unknown[], R>(read: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      readsUnderWay += 1;
      return read(...args).finally(() => {
        readsUnderWay -= 1;
      });
    };
  const { all, get } = opened.read;
  return { ...opened, read: { all: counted(all as never) as never, get: counted(get as never) as never } };
};

/** What is done after the commit reads too: it is over when a turn has passed in which nothing is read. */
const write = async <T>(fn: (trx: Trx) => T | Promise<T>): Promise<T> => {
  const value = await store.transact('test', fn);
  do await new Promise((resolve) => setImmediate(resolve));
  while (readsUnderWay > 0);
  return value;
};

/** The commands on a real file, with the hints kept instead of sent: the test is the dispatcher. */
beforeEach(async () => {
  store = countReads(
    await openStore({
      url: scratchDatabase('jobs'),
      service: 'jobs',
      migrations,
    }),
  );
  hints = [];
  const keep = (name: string) => (payload: unknown) =>
    void hints.push({ name, payload: payload as Record<string, unknown> });
  const recorder = {
    queued: keep('queued'),
    withdrawn: keep('withdrawn'),
    opened: keep('opened'),
    closed: keep('closed'),
  } as unknown as Hints;
  const fleet = createFleet();
  const load = createLoad();
  const polls = createPolls({ hints: recorder, fleet, runningOf: load.of, epoch: 1 });
  const keyring = createKeyring();
  await keyring.load(store, undefined);
  work = {
    store,
    isProduction: false,
    parameters: await createParameters(store, 'jobs'),
    listeners: await createListeners(store),
    erasures: createErasures(store),
    fleet,
    nameMiner: () => {},
    hints: recorder,
    polls,
    load,
    keyring,
    leases: createLeases(Buffer.alloc(32, 1)),
    seen: createSeen(),
    watch: createWatch(store),
    output: createOutput({ watch: createWatch(store), find: (jobId) => findJob(store.read, jobId) }),
    rests: createRests({ onOver: () => {} }),
    waits: createWaits(),
    metrics: createJobMetrics(createMetrics('test'), polls.size),
    queuePosition: async () => null,
  };
});
afterEach(async () => {
  work.polls.endAll();
  await store.close();
});

const addMiner = async (changes: Partial<MinerOffer> = {}): Promise<MinerOffer> => {
  const miner: MinerOffer = {
    miner_id: newId(),
    account_id: newId(),
    revision: 1,
    status: 'active',
    capabilities: ['ocr', 'custom'],
    gpus: [],
    cuda_version: null,
    models: [],
    region: null,
    price_per_job_minor: 0,
    concurrency: 4,
    reputation: 1,
    ...changes,
  };
  await write((trx) => minerChanged(trx, work, miner));
  return miner;
};
const addJob = (changes: object = {}) => {
  const submission = JobSubmission.parse({ job_type: 'custom', parameters: { input: 1 }, ...changes });
  const prepared = prepare(work, submission);
  return write((trx) => submit(trx, work, someone(['client']), prepared));
};
const openPoll = (miner: MinerOffer, wanted = 1) => {
  const before = hints.length;
  const answered = work.polls.wait(miner.miner_id, wanted, 20_000, new AbortController().signal);
  const opened = hints.slice(before).find((hint) => hint.name === 'opened');
  return { id: opened?.payload.poll_id as string, answered, opened: opened?.payload };
};
const match = (pollId: string, miner: MinerOffer, ...jobIds: string[]) =>
  write((trx) => startMatched(trx, work, { poll_id: pollId, miner_id: miner.miner_id, job_ids: jobIds }));
const lease = async (miner: MinerOffer, jobId: string): Promise<readonly Leased[]> => {
  const poll = openPoll(miner);
  await match(poll.id, miner, jobId);
  return poll.answered;
};
const queuedHints = (jobId: string) =>
  hints.filter((hint) => hint.name === 'queued' && hint.payload.job_id === jobId);

test('content is due when its account says so, or when the time of all is over; and once', async () => {
  const DAY = 86_400_000;
  const [brief, other] = [someone(['client']), someone(['client'])];
  const prepared = () => prepare(work, JobSubmission.parse({ job_type: 'custom', parameters: { input: 1 } }));
  const end = async (caller: typeof brief) => {
    const { id } = await write((trx) => submit(trx, work, caller, prepared()));
    return await write((trx) => cancel(trx, work, id, caller.account_id));
  };
  const before = await end(brief);
  await write((trx) => setContentKept(trx, brief.account_id, 7 * DAY));
  const [after, others] = [await end(brief), await end(other)];
  const due = async (days: number) =>
    (await contentDue(store.read, { nowMs: Date.now() + days * DAY + 5_000, keptMs: 30 * DAY }, 10)).map(
      ({ seq }) => seq,
    );
  expect(await due(6)).toEqual([]);
  expect(await due(7)).toEqual([after.seq]);
  expect((await due(30)).sort()).toEqual([before.seq, after.seq, others.seq].sort());
  const erase = () =>
    write((trx) => eraseContent(trx, { seqs: [after.seq, others.seq], nowMs: Date.now(), place: 0 }));
  await erase();
  await erase();
  expect(await due(30)).toEqual([before.seq]);
  expect(await loadOf(store.read, brief.account_id)).toEqual({
    openJobs: 0,
    contentBytes: '{"input":1}'.length,
  });
});

describe('a lease that never reached its miner', () => {
  test('goes back at once, counts against nobody, and keeps the fence', async () => {
    const miner = await addMiner();
    const job = await addJob({ max_attempts: 1 });
    for (const attempt of [1, 2, 3]) {
      const leased = await lease(miner, job.id);
      expect(leased).toHaveLength(1);
      expect(leased[0]?.job).toMatchObject({ status: 'running', attempt });
      expect(work.load.of(miner.miner_id)).toBe(1);
      await returnLeases(work, leased);
      expect(await findJob(store.read, job.id)).toMatchObject({
        status: 'pending',
        attempt,
        undelivered: attempt,
      });
      expect(work.load.of(miner.miner_id)).toBe(0);
      // The same miner may have it: it lost nothing.
      expect(queuedHints(job.id).at(-1)?.payload.avoid).toEqual([]);
    }
    expect(work.metrics.active).toEqual({ pending: 1, running: 0 });
  });

  test('given back late, after it ran again, changes nothing', async () => {
    const miner = await addMiner();
    const job = await addJob();
    const first = await lease(miner, job.id);
    await returnLeases(work, first);
    await lease(miner, job.id);
    await returnLeases(work, first);
    expect(await findJob(store.read, job.id)).toMatchObject({
      status: 'running',
      attempt: 2,
      undelivered: 1,
    });
  });

  test('two matches for one poll: one is answered, the other is offered again', async () => {
    const miner = await addMiner();
    const [a, b] = [await addJob(), await addJob()];
    const poll = openPoll(miner);
    await Promise.all([match(poll.id, miner, a.id), match(poll.id, miner, b.id)]);
    expect((await poll.answered).map(({ job }) => job.id)).toEqual([a.id]);
    await expect.poll(() => findJob(store.read, b.id)).toMatchObject({ status: 'pending' });
    // Said after the commit, which another connection may see before.
    await expect.poll(() => queuedHints(b.id).length).toBeGreaterThan(1);
  });
});

describe('a match that does not hold', () => {
  test('its poll is gone: the job is offered again, with a newer offer', async () => {
    const miner = await addMiner();
    const job = await addJob();
    await match(newId(), miner, job.id);
    expect((await findJob(store.read, job.id))?.status).toBe('pending');
    expect(queuedHints(job.id)).toHaveLength(2);
  });

  test('its job is gone: the poll is offered again', async () => {
    const miner = await addMiner();
    await addJob();
    const poll = openPoll(miner);
    const before = hints.length;
    await match(poll.id, miner, newId());
    expect(hints.slice(before)).toMatchObject([{ name: 'opened', payload: { poll_id: poll.id } }]);
  });

  test('its miner asks for more by now: the job does not start, and the poll says so before the job', async () => {
    const miner = await addMiner();
    const job = await addJob();
    const poll = openPoll(miner);
    const dearer = { ...miner, revision: 2, price_per_job_minor: 1 };
    const before = hints.length;
    await Promise.all([write((trx) => minerChanged(trx, work, dearer)), match(poll.id, miner, job.id)]);
    expect((await findJob(store.read, job.id))?.status).toBe('pending');
    const said = hints.slice(before).map((hint) => hint.name);
    expect(said.lastIndexOf('queued')).toBeGreaterThan(said.lastIndexOf('opened'));
  });

  test('its miner fell silent in the same group of transactions: the job does not start', async () => {
    const miner = await addMiner();
    const job = await addJob();
    const poll = openPoll(miner);
    await Promise.all([
      write((trx) => minerChanged(trx, work, { ...miner, revision: 2, status: 'inactive' })),
      match(poll.id, miner, job.id),
    ]);
    expect((await findJob(store.read, job.id))?.status).toBe('pending');
  });

  test('its account lost the job, which the index does not know: another gets it, and it only while none could', async () => {
    const account_id = newId();
    const loser = await addMiner({ account_id });
    const sameHands = await addMiner({ account_id });
    const job = await addJob();
    await lease(loser, job.id);
    await write((trx) => minerChanged(trx, work, { ...loser, revision: 2, status: 'inactive' }));
    // Offered while nobody else was there; now another is.
    expect(queuedHints(job.id).at(-1)?.payload.avoid).toEqual([]);
    const other = await addMiner();
    const poll = openPoll(sameHands);
    await match(poll.id, sameHands, job.id);
    expect(await findJob(store.read, job.id)).toMatchObject({ status: 'pending', attempt: 1 });
    expect(queuedHints(job.id).at(-1)?.payload.avoid).toEqual([account_id]);
    // Nobody else is left: it may have it again.
    await write((trx) => minerChanged(trx, work, { ...other, revision: 2, status: 'inactive' }));
    await match(poll.id, sameHands, job.id);
    expect((await poll.answered).map(({ job: { id, attempt } }) => [id, attempt])).toEqual([[job.id, 2]]);
  });

  test('its miner rests from the job: the job does not start, and is offered with that', async () => {
    const miner = await addMiner();
    const job = await addJob();
    work.rests.add({ jobId: job.id, minerId: miner.miner_id, attempt: 7, ttlMs: 600_000 });
    await match(openPoll(miner).id, miner, job.id);
    expect(await findJob(store.read, job.id)).toMatchObject({ status: 'pending', attempt: 0 });
    expect(queuedHints(job.id).at(-1)?.payload.avoid).toEqual([miner.miner_id]);
    work.rests.end();
  });
});

describe('what payments says of many jobs at once', () => {
  const stateOf = async (id: string) => {
    const job = await findJob(store.read, id);
    return [job?.status, job?.is_funded, job?.payment_id, job?.payment_status, job?.payment_amount_minor];
  };
  const nobody = { payee_account_id: null, miner_id: null, earned_minor: 0 };
  /** One job of each kind, told in one commit, or each in its own. */
  const tellAll = async (together: boolean) => {
    const miner = await addMiner();
    const paid = { payment_amount: 5 };
    const jobs = {
      waits: await addJob(paid),
      waitsToo: await addJob(paid),
      waitsForFree: await addJob({ constraints: { max_price: 3 } }),
      runs: await addJob(),
      cancelled: await addJob(paid),
      resolvedBefore: await addJob(paid),
      over: await addJob(),
    };
    await lease(miner, jobs.runs.id);
    for (const { id, client_id } of [jobs.cancelled, jobs.resolvedBefore, jobs.over])
      await write((trx) => cancel(trx, work, id, client_id));
    const resolve = (trx: Trx, name: keyof typeof jobs, kind: 'released' | 'refunded') => {
      const ids = { payment_id: paymentOf[name], job_id: jobs[name].id };
      return consumers['payments.resolved'](trx, { ...ids, ...nobody, kind });
    };
    const escrow = (trx: Trx, name: keyof typeof jobs) => {
      const ids = { payment_id: paymentOf[name], job_id: jobs[name].id };
      return consumers['payments.escrowed'](trx, { ...ids, amount_minor: 500_000_000 });
    };
    const paymentOf = Object.fromEntries(Object.keys(jobs).map((name) => [name, newId()])) as {
      [name in keyof typeof jobs]: string;
    };
    const consumers = createConsumers(work);
    await write((trx) => resolve(trx, 'resolvedBefore', 'refunded'));
    const stranger = { payment_id: newId(), job_id: newId(), amount_minor: 1 };
    const hears: ((trx: Trx) => unknown)[] = [
      (trx) => resolve(trx, 'over', 'released'),
      (trx) => resolve(trx, 'over', 'released'),
      (trx) => escrow(trx, 'waits'),
      (trx) => escrow(trx, 'waitsForFree'),
      (trx) => escrow(trx, 'waits'),
      (trx) => consumers['payments.escrowed'](trx, stranger),
      (trx) => escrow(trx, 'cancelled'),
      (trx) => escrow(trx, 'resolvedBefore'),
      (trx) => escrow(trx, 'waitsToo'),
      (trx) => resolve(trx, 'runs', 'refunded'),
      (trx) =>
        consumers['payments.resolved'](trx, {
          payment_id: newId(),
          job_id: newId(),
          ...nobody,
          kind: 'released',
        }),
    ];
    if (together)
      await write(async (trx) => {
        for (const hear of hears) await hear(trx);
      });
    else for (const hear of hears) await write(async (trx) => void (await hear(trx)));
    const names = Object.keys(jobs) as (keyof typeof jobs)[];
    return Object.fromEntries(
      await Promise.all(
        names.map(async (name) => {
          const [status, funded, paymentId, ...money] = await stateOf(jobs[name].id);
          const offers = queuedHints(jobs[name].id).map(({ payload }) => payload.pays_minor);
          return [name, [status, funded, paymentId === paymentOf[name], ...money, offers] as unknown];
        }),
      ),
    );
  };

  test.each([
    ['in one commit', true],
    ['each in its own', false],
  ])('comes to the same %s', async (_, together) => {
    const held = 500_000_000;
    expect(await tellAll(together)).toEqual({
      waits: ['pending', 1, true, 'escrowed', held, [held]],
      waitsToo: ['pending', 1, true, 'escrowed', held, [held]],
      waitsForFree: ['pending', 1, true, 'escrowed', held, [0, held]],
      runs: ['failed', 1, true, 'refunded', null, [0]],
      cancelled: ['cancelled', 0, true, 'escrowed', held, []],
      resolvedBefore: ['cancelled', 0, true, 'refunded', held, []],
      over: ['cancelled', 1, true, 'released', null, [0]],
    });
  });
});

describe('offers', () => {
  test('avoid the miners that lost the job only while another active one fits', async () => {
    const miner = await addMiner();
    const job = await addJob();
    await lease(miner, job.id);
    await write((trx) => minerChanged(trx, work, { ...miner, revision: 2, status: 'inactive' }));
    expect(await findJob(store.read, job.id)).toMatchObject({ status: 'pending', attempt: 1 });
    expect(queuedHints(job.id).at(-1)?.payload.avoid).toEqual([]);

    const other = await addMiner();
    await lease(other, job.id);
    const third = await addMiner();
    await write((trx) => minerChanged(trx, work, { ...other, revision: 2, status: 'inactive' }));
    const avoid = queuedHints(job.id).at(-1)?.payload.avoid as string[];
    expect([...avoid].sort()).toEqual([miner.account_id, other.account_id].sort());
    expect(avoid).not.toContain(third.account_id);
  });

  test('avoid the account, not the name: one account under three names burns one attempt', async () => {
    const account_id = newId();
    const [one, two] = [await addMiner({ account_id }), await addMiner({ account_id })];
    const job = await addJob();
    await addMiner();
    await lease(one, job.id);
    await write((trx) => minerChanged(trx, work, { ...one, revision: 2, status: 'inactive' }));
    expect(two.account_id).toBe(account_id);
    expect(queuedHints(job.id).at(-1)?.payload.avoid).toEqual([account_id]);
  });

  test('say what a miner can do once, and again when the dispatchers ask', async () => {
    const miner = await addMiner();
    const first = openPoll(miner);
    expect(first.opened).toMatchObject({ capability: { capabilities: miner.capabilities } });
    expect(openPoll(miner).opened).not.toHaveProperty('capability');
    const before = hints.length;
    await write((trx) => describeAgain(trx, work, { poll_id: first.id, kind: first.opened?.kind as string }));
    expect(hints.slice(before).some((hint) => hint.payload.capability !== undefined)).toBe(true);
  });

  test('carry what is held, and again with more when a payment comes later', async () => {
    const job = await addJob({ constraints: { max_price: 3 } });
    expect(queuedHints(job.id).at(-1)?.payload).toMatchObject({
      pays_minor: 0,
      requirement: { price_minor: 0 },
    });
    await write((trx) =>
      paymentsEscrowed(trx, work, [{ payment_id: newId(), job_id: job.id, amount_minor: 500_000_000 }]),
    );
    expect(queuedHints(job.id).at(-1)?.payload).toMatchObject({
      pays_minor: 500_000_000,
      requirement: { price_minor: 300_000_000 },
    });
  });

  test('slots that free in one commit are offered once', async () => {
    const miner = await addMiner({ concurrency: 2 });
    const jobs = [await addJob(), await addJob()];
    const first = openPoll(miner, 2);
    await match(first.id, miner, ...jobs.map((job) => job.id));
    const leased = await first.answered;
    expect(leased).toHaveLength(2);
    // Full: nothing to offer.
    expect(openPoll(miner, 2).opened).toBeUndefined();
    const before = hints.length;
    await returnLeases(work, leased);
    await expect
      .poll(() => hints.slice(before).filter((hint) => hint.name === 'opened'))
      .toMatchObject([{ payload: { slots: 2 } }]);
  });
});
