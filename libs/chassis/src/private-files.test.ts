import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchDirectory, sqliteOnly } from '@aitbc/testing';
import { afterEach, beforeEach, expect } from 'vitest';
import { backUpFile, openStore, restoreFile } from './index.ts';

const { test } = sqliteOnly('who may read the files');

let umask: number;
let folder: string;
beforeEach(() => {
  // The most careless there is.
  umask = process.umask(0);
  folder = join(scratchDirectory(), 'data');
});
afterEach(() => void process.umask(umask));

const modes = (directory: string) =>
  Object.fromEntries(
    readdirSync(directory).map((name) => [name, (statSync(join(directory, name)).mode & 0o777).toString(8)]),
  );
const open = () => openStore({ url: join(folder, 'jobs.db'), service: 'jobs', migrations: {} });

test('a database, what SQLite keeps beside it, its backup and its restored copy are the owner’s alone', async () => {
  mkdirSync(folder, { mode: 0o755 });
  const store = await open();
  await store.transact('write', () => {});
  expect(existsSync(join(folder, 'jobs.db-wal'))).toBe(true);
  expect(modes(folder)).toEqual({ 'jobs.db': '600', 'jobs.db-wal': '600', 'jobs.db-shm': '600' });
  const copies = join(folder, '..', 'copies');
  mkdirSync(copies, { mode: 0o755 });
  await backUpFile(join(folder, 'jobs.db'), join(copies, 'jobs.db'));
  expect(modes(copies)).toEqual({ 'jobs.db': '600' });
  await store.close();
  chmodSync(join(copies, 'jobs.db'), 0o644);
  restoreFile(join(copies, 'jobs.db'), join(folder, 'jobs.db'));
  expect(modes(folder)).toEqual({ 'jobs.db': '600' });
});

test('files that were made readable for everybody are taken back; a folder that is made is the owner’s', async () => {
  const first = await open();
  expect((statSync(folder).mode & 0o777).toString(8)).toBe('700');
  await first.close();
  for (const name of ['jobs.db', 'jobs.db-wal', 'jobs.db-shm']) {
    if (!existsSync(join(folder, name))) writeFileSync(join(folder, name), '');
    chmodSync(join(folder, name), 0o644);
  }
  const again = await open();
  expect(Object.values(modes(folder)).every((mode) => mode === '600')).toBe(true);
  await again.close();
});
