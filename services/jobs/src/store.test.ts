import { builder, type hot, openStore, type Reader, type Store, type Trx } from '@aitbc/chassis';
import { type JobStatus, newId } from '@aitbc/contracts';
import { scratchDatabase, sqliteOnly } from '@aitbc/testing';
import { type Compilable, sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrations } from '../migrations/index.ts';
import * as backlog from './store/backlog.ts';
import * as jobs from './store/jobs.ts';
import * as money from './store/money.ts';
import { insertReceipt, listReceipts } from './store/receipts.ts';
import { startJob } from './store/start.ts';
import type { JobRow, Tables } from './tables.ts';

const db = builder<Tables>();
let store: Store;
beforeAll(async () => {
  store = await openStore({
    url: scratchDatabase('jobs'),
    service: 'jobs',
    migrations,
  });
});
afterAll(() => store.close());

const write = <T>(fn: Parameters<typeof store.transact<T>>[1]): Promise<T> => store.transact('test', fn);

const addJob = (changes: Partial<Parameters<typeof jobs.insertJob>[1]> = {}): Promise<JobRow> =>
  write(async (trx) => {
    const nowMs = Date.now();
    return await jobs.insertJob(
      trx,
      {
        id: newId(),
        client_id: newId(),
        job_type: 'ocr',
        status: 'pending',
        requirement: 'requirement',
        model: null,
        key_id: null,
        priority: 5,
        is_funded: 1,
        constraints: '{}',
        labels: '[]',
        callback_url: null,
        salt: null,
        parameters_sha256: 'x',
        timeout_ms: 1_000,
        // Longer than a busy machine takes from one line of a test to the next.
        ttl_ms: 600_000,
        max_attempts: 3,
        payment_amount_minor: null,
        payment_status: null,
        created_at_ms: nowMs,
        updated_at_ms: nowMs,
        queued_at_ms: nowMs,
        expires_at_ms: nowMs + 60_000,
        ...changes,
      },
      { parameters: '{}', payload: null },
      [],
    );
  });
const start = (job: JobRow, minerId = newId()): Promise<JobRow | undefined> =>
  write((trx) =>
    startJob(trx, { id: job.id, miner_id: minerId, miner_account_id: newId(), now_ms: Date.now() }),
  );
const END = { error: null, report: null, now_ms: Date.now() };

describe('compare and set', () => {
  test('a job starts once, with the next attempt', async () => {
    const job = await addJob();
    const started = await Promise.all([start(job), start(job), start(job)]);
    expect(started.filter((row) => row !== undefined)).toHaveLength(1);
    expect(started.find((row) => row !== undefined)).toMatchObject({
      status: 'running',
      attempt: 1,
      events: 2,
    });
  });

  test('a job without its money, or past its time, does not start', async () => {
    expect(await start(await addJob({ is_funded: 0 }))).toBeUndefined();
    expect(await start(await addJob({ expires_at_ms: Date.now() - 1 }))).toBeUndefined();
  });

  test('what is known of an attempt that is over changes nothing', async () => {
    const first = (await start(await addJob())) as JobRow;
    const back = await write((trx) => jobs.requeueJob(trx, first, { ...END, undelivered: 0 }));
    expect(back).toMatchObject({ status: 'pending', miner_id: null, attempt: 1 });
    const second = (await start(back as JobRow)) as JobRow;
    expect(second.attempt).toBe(2);
    expect(await write((trx) => jobs.endJob(trx, first, { ...END, status: 'completed' }))).toBeUndefined();
    expect(await write((trx) => jobs.requeueJob(trx, first, { ...END, undelivered: 0 }))).toBeUndefined();
    expect(await write((trx) => jobs.setProgress(trx, first, 0.5, 1))).toBeUndefined();
    expect(await write((trx) => jobs.endJob(trx, second, { ...END, status: 'completed' }))).toBeDefined();
  });
});

describe('the different things that an account asks for', () => {
  test('are counted, and looked up, with one question however many they are', async () => {
    const client_id = newId();
    for (const requirement of ['a', 'b', 'b', 'c']) await addJob({ client_id, requirement });
    await addJob({ client_id: newId(), requirement: 'd' });
    const ended = await addJob({ client_id, requirement: 'e' });
    await write((trx) => jobs.endJob(trx, ended, { ...END, status: 'cancelled' }));

    let questions = 0;
    const reader: Reader = {
      all: ((...asked: Parameters<Reader['all']>) => {
        questions += 1;
        return store.read.all(...asked);
      }) as Reader['all'],
      get: ((...asked: Parameters<Reader['get']>) => {
        questions += 1;
        return store.read.get(...asked);
      }) as Reader['get'],
    };
    expect(await backlog.countRequirements(reader, client_id, 9)).toBe(3);
    expect(await backlog.countRequirements(reader, client_id, 2)).toBe(2);
    expect(await backlog.countRequirements(reader, newId(), 9)).toBe(0);
    const asked = ['a', 'd', 'b', 'e', 'a'];
    expect(await backlog.waitingWith(reader, client_id, asked)).toEqual(new Set(['a', 'b']));
    expect(questions).toBe(4);
  });
});

describe('the last line', () => {
  test('an end is final, even for a statement that forgot to look', async () => {
    const job = await addJob();
    await write((trx) => jobs.endJob(trx, job, { ...END, status: 'cancelled' }));
    for (const status of ['pending', 'running', 'completed', 'expired'] as JobStatus[]) {
      const change = write((trx) =>
        trx.run(db.updateTable('job').set({ status, ended_at_ms: 1 }).where('seq', '=', job.seq)),
      );
      await expect(change).rejects.toThrow();
    }
  });

  test('a job has one receipt', async () => {
    const job = (await start(await addJob())) as JobRow;
    const receipt = () => ({ job_seq: job.seq, id: newId(), proof: 'p', created_at_ms: 1, result: '1' });
    await write((trx) => insertReceipt(trx, receipt()));
    await expect(write((trx) => insertReceipt(trx, receipt()))).rejects.toThrow(/UNIQUE/i);
  });

  test('a running job has a miner and a deadline; what ended has an end', async () => {
    const job = await addJob();
    const set = (values: object) =>
      write((trx) => trx.run(db.updateTable('job').set(values).where('seq', '=', job.seq)));
    await expect(set({ status: 'running' })).rejects.toThrow(/CHECK/i);
    await expect(set({ status: 'running', deadline_at_ms: 1 })).rejects.toThrow(/CHECK/i);
    await expect(set({ status: 'failed' })).rejects.toThrow(/CHECK/i);
    await expect(set({ status: 'lost', ended_at_ms: 1 })).rejects.toThrow(/CHECK/i);
    await expect(set({ priority: 10 })).rejects.toThrow(/CHECK/i);
    await expect(set({ progress: 1.1 })).rejects.toThrow(/CHECK/i);
  });
});

sqliteOnly('plans in the words of EXPLAIN QUERY PLAN').describe(
  'no poll, timer or list walks the backlog',
  () => {
    /** The plan of what a store function runs: it is called with a reader that explains instead of reading. */
    const planOf = async (
      run: (reader: Parameters<typeof jobs.findJob>[0]) => unknown,
    ): Promise<string[]> => {
      const details: string[] = [];
      const explain = async (
        query: Compilable<unknown> | ReturnType<typeof hot>,
        values?: unknown,
      ): Promise<[]> => {
        const { text, parameters } =
          'bind' in query
            ? { text: query.sql, parameters: (query.bind as (v: unknown) => unknown[])(values) }
            : { text: query.compile().sql, parameters: [...query.compile().parameters] };
        const rows = await store.read.all({
          compile: () => ({ ...sql`x`.compile(db), sql: `EXPLAIN QUERY PLAN ${text}`, parameters }),
        } as unknown as Compilable<{ detail: string }>);
        details.push(...rows.map((row) => row.detail));
        return [];
      };
      await run({
        all: explain,
        get: (async (...given: Parameters<typeof explain>) => void (await explain(...given))) as never,
      });
      return details;
    };
    const client_id = newId();
    const all = {
      client_id,
      status: undefined,
      job_type: undefined,
      label: undefined,
      before: undefined,
      created_after_ms: undefined,
    };
    const listed = (filter: object) => (reader: Parameters<typeof jobs.findJob>[0]) =>
      reader.all(backlog.listJobsQuery({ ...all, ...filter }, 51));

    test.each<[string, (reader: Parameters<typeof jobs.findJob>[0]) => unknown, RegExp]>([
      ['one job', (r) => jobs.findJob(r, 'x'), /SEARCH job USING INDEX sqlite_autoindex_job_1 \(id=\?\)/],
      [
        'what expires',
        (r) => backlog.expiredJobs(r, 1, 9),
        /USING (COVERING )?INDEX job_expiry \(expires_at_ms<\?\)/,
      ],
      [
        'what is out of time',
        (r) => backlog.timedOutJobs(r, 1, 9),
        /INDEX job_deadline \(deadline_at_ms<\?\)/,
      ],
      ['what a miner runs', (r) => backlog.runningJobsOf(r, 'x'), /INDEX job_of_miner \(miner_id=\?\)/],
      ['how much a miner runs', (r) => backlog.countRunningOf(r, 'x'), /INDEX job_of_miner \(miner_id=\?\)/],
      [
        'what waits, in pages',
        (r) => backlog.waitingAfter(r, { job_type: 'custom', id: 'x' }, 9),
        /INDEX job_waiting \(\(?job_type/,
      ],
      [
        'which requirements wait',
        (r) => backlog.waitingWith(r, 'c', ['r']),
        /INDEX job_requirement \(client_id=\? AND requirement=\?\)/,
      ],
      [
        'requirements of an account',
        (r) => backlog.countRequirements(r, 'c', 9),
        /INDEX job_requirement \(client_id=\? AND requirement>\?\)/,
      ],
      ['which miners are named', (r) => backlog.namedByWaiting(r, ['m']), /INDEX job_named \(<expr>=\?\)/],
      ['what is new', (r) => backlog.newestWaiting(r, 9), /SCAN job$/],
      ['events of a job', (r) => jobs.eventsAfter(r, 1, 0, 9), /PRIMARY KEY \(job_seq=\? AND id>\?\)/],
      ['own jobs', listed({}), /INDEX job_client \(client_id=\?\)/],
      ['own jobs, next page', listed({ before: 'x' }), /INDEX job_client \(client_id=\? AND id<\?\)/],
      ['own jobs since', listed({ created_after_ms: 1 }), /INDEX job_client \(client_id=\? AND id>\?\)/],
      [
        'own jobs by status',
        listed({ status: 'failed', before: 'x' }),
        /job_client_status \(client_id=\? AND status=\? AND id<\?\)/,
      ],
      [
        'own jobs by type',
        listed({ job_type: 'ocr', before: 'x' }),
        /job_client_type \(client_id=\? AND job_type=\? AND id<\?\)/,
      ],
      [
        'own jobs by label',
        listed({ label: 'l', before: 'x' }),
        /job_label USING PRIMARY KEY \(client_id=\? AND label=\? AND job_id<\?\)/,
      ],
      [
        'whom money is there for',
        (r) => money.fundJobs(r as Trx, [{ job_id: 'x', payment_id: 'y', amount_minor: 1 }], 1),
        /SEARCH job USING INDEX sqlite_autoindex_job_1 \(id=\?\)/,
      ],
      [
        'whose payment is over',
        (r) => money.setResolved(r as Trx, [{ job_id: 'x', payment_id: 'y', kind: 'released' }], 1),
        /SEARCH job USING COVERING INDEX sqlite_autoindex_job_1 \(id=\?\)/,
      ],
      ['receipts', (r) => listReceipts(r, 'x', 9), /INDEX sqlite_autoindex_receipt_1 \(id<\?\)/],
    ])('%s', async (_, run, index) => {
      const plan = await planOf(run);
      expect(plan.join('\n')).toMatch(index);
      // Ordered by the index itself: sorting would read all first. A label's page is sorted, after its own limit.
      if (!plan.some((line) => line.includes('job_label')))
        expect(plan.join('\n')).not.toContain('TEMP B-TREE');
      // `SCAN job` alone is the walk along the row ids that its LIMIT ends; the others are no tables.
      for (const line of plan)
        if (line !== 'SCAN job') expect(line).not.toMatch(/^SCAN (?!json_each |CONSTANT ROW|step$)/);
    });
  },
);
