import { newId } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  sqliteOnly,
} from '@aitbc/testing';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { builder, type ChassisTables } from './index.ts';
import { effectsOf, type OnMessage, standInRoutes, startStandIn } from './testing-processes/stand-in.ts';

const { test } = sqliteOnly('the disk under a file');

const db = builder<ChassisTables>();
const statements = Object.getPrototypeOf(new Database(':memory:').prepare('SELECT 1')) as Database.Statement;
const run = statements.run;
type StandIn = Awaited<ReturnType<typeof startStandIn>>;

let jobs: StandIn;
let onMessage: OnMessage;
beforeEach(async () => {
  onMessage = () => {};
  jobs = await startStandIn(
    'jobs',
    serviceEnv('jobs', scratchDirectory(), await scratchRedis()),
    (reason) => expect.fail(reason),
    (...message) => onMessage(...message),
  );
});
afterEach(async () => {
  vi.restoreAllMocks();
  await jobs.stop();
});

const say = () =>
  callerOf(jobs.url, someone(['client'])).call(standInRoutes.say, { body: { job_ids: [newId()] } });
/** From now on statements that `source` fits fail as SQLite would say it. */
const breakDisk = (code: string, source: RegExp) =>
  vi.spyOn(statements, 'run').mockImplementation(function (this: Database.Statement, ...values) {
    if (source.test(this.source)) throw new Database.SqliteError('the disk said no', code);
    return run.apply(this, values);
  });
const deadLetters = () => jobs.store.read.all(db.selectFrom('dead_letter').selectAll());

test.each([
  ['SQLITE_IOERR_WRITE', /^insert/i, 'the disk answers with errors'],
  ['SQLITE_IOERR_FSYNC', /^COMMIT/, 'the disk answers with errors'],
  ['SQLITE_IOERR_LOCK', /^BEGIN/, 'the disk answers with errors'],
  ['SQLITE_READONLY_DBMOVED', /^BEGIN/, 'the file is read-only'],
  ['SQLITE_READONLY', /^insert/i, 'the file is read-only'],
  ['SQLITE_CANTOPEN', /^BEGIN/, 'the file cannot be opened'],
])('%s at %s: 503 by name, the service stays, and goes on by itself', async (code, source, words) => {
  const broken = breakDisk(code, source);
  const refused = await say();
  expect(refused).toMatchObject({ status: 503, body: { error: { code: 'SERVICE_UNAVAILABLE' } } });
  expect((await fetch(`${jobs.url}/health`)).status).toBe(200);
  if (source.test('BEGIN') || source.test('COMMIT')) {
    const ready = await fetch(`${jobs.url}/health/ready`);
    expect([ready.status, JSON.stringify(await ready.json())]).toEqual([503, expect.stringContaining(words)]);
  }
  broken.mockRestore();
  expect((await say()).status).toBe(201);
  expect((await fetch(`${jobs.url}/health/ready`)).status).toBe(200);
});

test('a read that the disk refuses is 503 too', async () => {
  vi.spyOn(statements, 'all').mockImplementation(() => {
    throw new Database.SqliteError('the disk said no', 'SQLITE_IOERR_READ');
  });
  await expect(jobs.store.read.all(db.selectFrom('dead_letter').selectAll())).rejects.toThrow(
    expect.objectContaining({ code: 'SERVICE_UNAVAILABLE' }),
  );
});

test('a message that finds no room is neither set aside nor given up, however long that lasts', async () => {
  const id = newId();
  let heard = 0;
  let hasRoom = false;
  onMessage = () => {
    heard += 1;
    // The message does not fit, a row about it would.
    if (!hasRoom) throw new Database.SqliteError('database or disk is full', 'SQLITE_FULL');
  };
  const payload = { payment_id: id, job_id: id, amount_minor: 1 };
  const message = { seq: 1, name: 'payments.escrowed', version: 1, payload };
  await jobs.publish({ stream: 'peer', messages: [message] });
  await eventually(() => heard >= 3);
  expect(await deadLetters()).toEqual([]);
  hasRoom = true;
  // Its sender was never told that it was heard, and says it again.
  await jobs.publish({ stream: 'peer', messages: [message] });
  await eventually(async () => (await effectsOf(jobs.store, 'payments.escrowed')).get(id) === 1);
});

test('nor does an attempt count while one that failed before is tried again', async () => {
  const id = newId();
  let fault = new Error('broken') as Error;
  let heard = 0;
  onMessage = () => {
    heard += 1;
    if (heard > 0) throw fault;
  };
  const payload = { poll_id: newId(), miner_id: newId(), job_ids: [id] };
  const message = { seq: 1, name: 'dispatch.matched', version: 1, payload };
  await jobs.publish({ stream: 'peer', messages: [message] }, 'dispatcher');
  await eventually(async () => (await deadLetters())[0]?.attempts === 1);
  fault = new Database.SqliteError('database or disk is full', 'SQLITE_FULL');
  const before = heard;
  // The catalogue gives it three attempts.
  await eventually(() => heard > before + 4);
  expect(await deadLetters()).toMatchObject([{ attempts: 1, retry_at_ms: expect.any(Number) }]);
});
