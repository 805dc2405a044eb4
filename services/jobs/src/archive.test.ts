import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { checkArchive, databasePath, openObjects, openStore, restoreFile } from '@aitbc/chassis';
import { fromMinor, newId, sha256, toTimestamp } from '@aitbc/contracts';
import { openByHand, scratchDatabase, scratchDirectory, sqliteOnly, startS3 } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { verifyArchive } from '../../../scripts/verify-archive.ts';
import { migrations } from '../migrations/index.ts';
import { ARCHIVE_FOLDER } from './archive.ts';
import { createSigner, makeSigningKey } from './receipts.ts';
import type { ArchivedJob } from './store/archive.ts';
import { purgeAll } from './testing/purge-process.ts';

/** Two whole parts and a piece of one. */
const JOBS = 60;
const ENDED_AT_MS = Date.now() - 3_600_000;

// Each death is a process that starts.
vi.setConfig({ testTimeout: 120_000 });

const signer = createSigner(makeSigningKey());
const quoted = (value: string | number | null): string =>
  value === null ? 'NULL' : typeof value === 'number' ? String(value) : `'${value}'`;
const insert = (table: string, rows: readonly Record<string, string | number | null>[]): string =>
  `INSERT INTO ${table} (${Object.keys(rows[0] ?? {}).join(', ')}) VALUES ${rows
    .map((row) => `(${Object.values(row).map(quoted).join(', ')})`)
    .join(', ')}`;

/** Jobs that ended an hour ago, without content: every second one completed, with a receipt. One more has its money under way. */
const fill = async (url: string): Promise<string[]> => {
  await (await openStore({ url, service: 'jobs', migrations })).close();
  const ids = Array.from({ length: JOBS + 1 }, newId);
  const [client_id, miner_id] = [newId(), newId()];
  const jobs = ids.map((id, at) => {
    const isCompleted = at % 2 === 0;
    return {
      seq: at + 1,
      id,
      client_id,
      job_type: 'custom',
      status: isCompleted ? 'completed' : 'cancelled',
      requirement: 'r',
      model: null,
      key_id: null,
      priority: 0,
      is_funded: 1,
      constraints: '{}',
      labels: '["old"]',
      callback_url: 'https://client.example/a-token-of-the-client',
      salt: null,
      parameters_sha256: sha256(id),
      timeout_ms: 1_000,
      ttl_ms: 1_000,
      max_attempts: 3,
      attempt: isCompleted ? 1 : 0,
      undelivered: 0,
      miner_id: isCompleted ? miner_id : null,
      miner_account_id: isCompleted ? miner_id : null,
      progress: isCompleted ? 1 : 0,
      payment_amount_minor: null,
      payment_id: null,
      payment_status: at === JOBS ? 'escrowed' : null,
      lease_price_minor: 0,
      events: 1,
      created_at_ms: ENDED_AT_MS - 2_000,
      updated_at_ms: ENDED_AT_MS,
      queued_at_ms: ENDED_AT_MS - 2_000,
      started_at_ms: isCompleted ? ENDED_AT_MS - 1_000 : null,
      ended_at_ms: ENDED_AT_MS + at,
      expires_at_ms: ENDED_AT_MS,
      content_gone_at_ms: ENDED_AT_MS + at,
    };
  });
  const receipts = jobs.flatMap((job) => {
    if (job.status !== 'completed' || job.miner_id === null) return [];
    const id = newId();
    const proof = signer.sign({
      receipt_id: id,
      job_id: job.id,
      attempt: 1,
      client_id,
      miner_id,
      job_type: job.job_type,
      parameters_sha256: job.parameters_sha256,
      result_sha256: sha256('result'),
      price: fromMinor(0),
      currency: 'AITBC',
      started_at: toTimestamp(ENDED_AT_MS - 1_000),
      completed_at: toTimestamp(job.ended_at_ms),
    });
    return [{ job_seq: job.seq, id, proof, created_at_ms: job.ended_at_ms, result: '' }];
  });
  const events = jobs.map(({ seq, status, ended_at_ms }) => ({
    job_seq: seq,
    id: 1,
    type: status,
    status,
    attempt: 0,
    progress: 0,
    message: '   ',
    at_ms: ended_at_ms,
  }));
  const db = await openByHand(url, 'off');
  await db.exec(insert('job', jobs));
  await db.exec(insert('receipt', receipts));
  await db.exec(insert('job_event', events));
  await db.close();
  return ids.slice(0, JOBS);
};
const idsIn = async (url: string, table: string, column: string): Promise<string[]> => {
  const db = await openByHand(url);
  const rows = await db.all(`SELECT ${column} AS id FROM ${table}`);
  await db.close();
  return rows.map(({ id }) => String(id));
};
const archivedIn = async (archiveUrl: string, keys = {}) => {
  const rows: ArchivedJob[] = [];
  const report = await checkArchive(openObjects(archiveUrl, keys), ARCHIVE_FOLDER, (row) => {
    rows.push(row as ArchivedJob);
    return null;
  });
  return { report, rows };
};

const MAIN = fileURLToPath(new URL('./testing/purge-process.ts', import.meta.url));
const purgeUntil = async (failpoint: string, databaseUrl: string, archiveUrl: string) => {
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env.PATH, DATABASE_URL: databaseUrl, ARCHIVE_URL: archiveUrl, FAILPOINT: failpoint },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return (await once(child, 'exit'))[1] as NodeJS.Signals | null;
};

describe('killed', () => {
  test.each([
    'archive:after-part@2',
    'archive:after-begin@2',
    'archive:after-entry@2',
    'purge:jobs:before-commit@3',
    'archive:after-drop',
  ])(
    'at %s, every job is in the file or in the archive, and in the end each is there once',
    async (failpoint) => {
      const directory = scratchDirectory();
      const [url, archiveUrl] = [scratchDatabase('jobs', directory), `file://${directory}/archive`];
      const ids = await fill(url);
      expect(await purgeUntil(failpoint, url, archiveUrl)).toBe('SIGKILL');

      const before = await archivedIn(archiveUrl);
      expect(before.report.wrong).toBeNull();
      const stays = await idsIn(url, 'job', 'id');
      expect(new Set([...stays, ...before.rows.map(({ job }) => job.id)])).toEqual(
        new Set([...ids, ...stays.slice(-1)]),
      );

      await purgeAll(url, archiveUrl);
      const { report, rows } = await archivedIn(archiveUrl);
      expect(report).toMatchObject({ wrong: null, rows: JOBS, parts: 3 });
      expect(report.unnamed.length).toBeLessThanOrEqual(1);
      expect(rows.map(({ job }) => job.id).sort()).toEqual(ids.toSorted());
      expect(await idsIn(url, 'job', 'id')).toHaveLength(1);
      expect((await idsIn(url, 'kept_receipt', 'job_id')).sort()).toEqual(
        ids.filter((_, at) => at % 2 === 0).sort(),
      );
    },
  );
});

describe('an archive', () => {
  let s3: Awaited<ReturnType<typeof startS3>>;
  beforeAll(async () => {
    s3 = await startS3();
  });
  afterAll(() => s3.stop());
  const verify = (url: string, known?: string) =>
    verifyArchive({ url, keys: s3.keys, jwks: [signer.jwk], known });

  test('in a bucket holds what leaves and nothing of its content; each change in it is found', async () => {
    const directory = scratchDirectory();
    const [url, archiveUrl] = [scratchDatabase('jobs', directory), s3.urlOf('of/operators')];
    const ids = await fill(url);
    // Its jobs stay where they are until it takes them.
    s3.refuse(100);
    await expect(purgeAll(url, archiveUrl, s3.keys)).rejects.toThrow('503');
    expect(await idsIn(url, 'job', 'id')).toHaveLength(JOBS + 1);
    s3.refuse(0);
    await purgeAll(url, archiveUrl, s3.keys);

    const { rows } = await archivedIn(archiveUrl, s3.keys);
    const [first] = rows;
    expect(first).toMatchObject({
      job: { id: ids[0], status: 'completed', labels: ['old'], ended_at_ms: ENDED_AT_MS },
      events: [{ id: 1, type: 'completed' }],
      receipt: { proof: expect.any(String) },
    });
    expect(JSON.stringify(rows)).not.toMatch(/a-token-of-the-client|message|salt|error_message/);

    const whole = await verify(archiveUrl);
    expect(whole).toMatchObject({ wrong: null, rows: JOBS, jobs: JOBS, receipts: JOBS / 2, parts: 3 });
    const head = whole.heads[0]?.hash as string;
    expect(await verify(archiveUrl, head)).toMatchObject({ wrong: null });
    expect((await verify(archiveUrl, sha256('another'))).wrong).toContain('is gone');
    const stranger = createSigner(makeSigningKey());
    const foreign = await verifyArchive({
      url: archiveUrl,
      keys: s3.keys,
      jwks: [stranger.jwk],
      known: undefined,
    });
    expect(foreign.wrong).toContain('jwks.json');

    const names = [...s3.objects.keys()].sort();
    const [part, entry] = names.slice(-2) as [string, string];
    for (const [name, change, words] of [
      [part, () => Buffer.from('x'), 'is not what'],
      [part, undefined, 'is missing'],
      [entry, (text: string) => Buffer.from(text.replace('"rows": 10', '"rows": 11')), 'its hash'],
      [names[0] as string, undefined, 'is missing'],
    ] as const) {
      const was = s3.objects.get(name) as Buffer;
      if (change === undefined) s3.objects.delete(name);
      else s3.objects.set(name, change(was.toString()));
      expect((await verify(archiveUrl)).wrong, name).toContain(words);
      s3.objects.set(name, was);
    }
    // The last entry cut off leaves a whole line: only who kept the head can tell.
    s3.objects.delete(entry);
    expect(await verify(archiveUrl)).toMatchObject({
      wrong: null,
      parts: 2,
      unnamed: [part.replace('of/operators/', '')],
    });
    expect((await verify(archiveUrl, head)).wrong).toContain('is gone');
  });

  sqliteOnly('copies of files, and what comes of putting one back').test(
    'of a file that was put back goes on in another line, and each job counts once',
    async () => {
      const directory = scratchDirectory();
      const [url, archiveUrl] = [scratchDatabase('jobs', directory), `file://${directory}/archive`];
      await fill(url);
      const copy = `${directory}/copy.db`;
      const store = await openStore({ url, service: 'jobs', migrations });
      await store.backup(copy);
      await store.close();
      await purgeAll(url, archiveUrl);
      restoreFile(copy, databasePath(url));
      await purgeAll(url, archiveUrl);
      expect(await verify(archiveUrl)).toMatchObject({ wrong: null, rows: 2 * JOBS, jobs: JOBS, parts: 6 });
    },
  );
});
