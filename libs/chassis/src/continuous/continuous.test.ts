import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { eventually, openByHand, scratchDirectory, sqliteOnly, tables } from '@aitbc/testing';
import { afterEach, beforeEach, expect } from 'vitest';
import { inspectFile } from '../backup.ts';
import { blanked, builder, openStore, type Store } from '../index.ts';
import { chainsIn, readChain, type StepEntry } from './chain.ts';
import { assembleFile, createFollower } from './index.ts';

const { test } = sqliteOnly('copies of files, and what comes of putting one back');

interface Rows {
  note: { id: number; text: string };
}
const migrations = tables('CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT');
const db = builder<Rows>();
/** A process starts in a second, and in many where every core is wanted by others. */
const SLOW = { withinMs: 120_000 };
const FOREVER = { chainMs: 1e12, keptMs: 1e12 };

let directory: string;
let path: string;
let folder: string;
let next: number;
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
beforeEach(() => {
  directory = scratchDirectory();
  path = join(directory, 'jobs.db');
  folder = join(directory, 'backup', 'jobs');
  next = 1;
});

const open = () => openStore({ url: `sqlite:///${path}`, service: 'jobs', migrations });
const write = async (store: Store, count: number, text = 'x'.repeat(500)): Promise<void> => {
  await store.transact('write', async (trx) => {
    for (let n = 0; n < count; n += 1) await trx.run(db.insertInto('note').values({ id: next++, text }));
  });
};
/** Assembles the file of a moment. @returns how many rows it has, of which none is missing */
const notesAt = async (at?: Date): Promise<number> => {
  const target = join(scratchDirectory(), 'jobs.db');
  const entry = await assembleFile({ folder, target, at });
  const { tables: counts, stream } = inspectFile(target);
  expect({ counts, stream }).toEqual({ counts: entry.tables, stream: entry.stream });
  const file = await openByHand(`sqlite:///${target}`);
  const [found] = await file.all('SELECT count(*) AS rows, max(id) AS last FROM note');
  await file.close();
  // Rows come with rising numbers: of one moment there is none missing.
  expect(found?.rows).toBe(found?.last);
  return counts.note as number;
};

const MAIN = fileURLToPath(new URL('../../../../scripts/backup.ts', import.meta.url));
/** A process of its own, as an operator has it. */
const backUp = (env: NodeJS.ProcessEnv = {}) => {
  const to = join(directory, 'backup');
  const args = ['--continuous', '--data-dir', directory, '--to', to, '--every', '0.02'];
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  children.push(child);
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  return { child, ended };
};
const stepsOf = (): StepEntry[] => chainsIn(folder).flatMap((chain) => readChain(join(folder, chain)));

test('each step is the file as of one moment, while others write it and empty its log', async () => {
  const store = await open();
  await write(store, 300);
  const { child, ended } = backUp();
  let isOver = false;
  const writing = (async () => {
    while (!isOver) {
      await write(store, 1 + (next % 30));
      if (next % 4 === 0) await store.emptyLog();
    }
  })();
  try {
    await eventually(() => stepsOf().length >= 8, SLOW);
  } finally {
    isOver = true;
    child.kill('SIGTERM');
    await writing;
  }
  expect(await ended).toEqual([0, null]);
  await store.close();
  const notes = new Set<number>();
  for (const { at } of stepsOf()) notes.add(await notesAt(new Date(at)));
  expect(notes.size).toBeGreaterThan(5);
}, 200_000);

test('where nothing was committed nothing is read, and where little was, little is written', async () => {
  const store = await open();
  await write(store, 300);
  const follower = createFollower({ path, folder, ...FOREVER });
  expect((await follower.look()).entry).toMatchObject({ number: 1, tables: { note: 300 } });
  expect(await follower.look()).toEqual({ entry: null, heldMs: 0 });
  await write(store, 1);
  const { entry } = await follower.look();
  expect(entry?.changed).toBeLessThan(5);
  follower.close();
  await store.close();
  expect(await notesAt()).toBe(301);
  await expect(notesAt(new Date(0))).rejects.toThrow('has nothing of');
});

test('a file that gets smaller, and one that another takes the place of', async () => {
  let store = await open();
  await write(store, 1_500, 'y'.repeat(6_000));
  const follower = createFollower({ path, folder, ...FOREVER });
  const large = (await follower.look()).entry?.pages as number;
  await store.transact('erase', (trx) => trx.run(db.deleteFrom('note').where('id', '>', 10)));
  await store.shrink(100_000);
  const small = (await follower.look()).entry;
  expect(small?.pages).toBeLessThan(large);
  expect(await notesAt()).toBe(10);

  await store.close();
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
  store = await open();
  next = 1;
  await write(store, 5);
  expect((await follower.look()).entry).toMatchObject({ number: 1, tables: { note: 5 } });
  expect(await notesAt()).toBe(5);
  follower.close();
  await store.close();
});

const packed = (chain: string): string =>
  readdirSync(join(folder, chain))
    .filter((name) => name.endsWith('.gz'))
    .map((name) => gunzipSync(readFileSync(join(folder, chain, name))).toString('latin1'))
    .join('');

test('what is wiped is in no step after it; a new base begins in time, and old chains are dropped', async () => {
  const store = await open();
  await write(store, 100);
  await write(store, 1, 'what nobody shall read');
  let follower = createFollower({ path, folder, ...FOREVER });
  await follower.look();
  await store.transact('wipe', (trx) =>
    trx.run(
      db
        .updateTable('note')
        .set({ text: blanked('text') })
        .where('id', '=', 101),
    ),
  );
  await store.emptyLog();
  const [first] = chainsIn(folder) as [string];
  const before = packed(first);
  expect(before).toContain('nobody shall read');
  await follower.look();
  expect(packed(first).split('nobody shall read')).toHaveLength(before.split('nobody shall read').length);
  follower.close();

  // As after a day: the next look begins anew, and what is older than it is kept goes.
  follower = createFollower({ path, folder, chainMs: 0, keptMs: 0 });
  await follower.look();
  const [second, ...others] = chainsIn(folder) as [string];
  expect([second === first, others]).toEqual([false, []]);
  expect(packed(second)).not.toContain('nobody shall read');
  // A chain whose steps together are larger than its base begins anew, too.
  follower.close();
  follower = createFollower({ path, folder, ...FOREVER });
  await follower.look();
  for (let n = 0; n < 3; n += 1) {
    await write(store, 300, Array.from({ length: 100 }, () => Math.random()).join());
    await follower.look();
  }
  expect(chainsIn(folder).length).toBeGreaterThan(2);
  follower.close();
  await store.close();
  expect(await notesAt()).toBe(next - 1);
});

test('a step that was changed is named, and what comes before it can be restored', async () => {
  const store = await open();
  const follower = createFollower({ path, folder, ...FOREVER });
  for (let n = 0; n < 3; n += 1) {
    await write(store, 10);
    await follower.look();
  }
  follower.close();
  await store.close();
  const [chain] = chainsIn(folder) as [string];
  const [, second, third] = readChain(join(folder, chain));
  if (second === undefined || third === undefined) throw new Error('too few steps');
  const file = join(folder, chain, third.file);
  const bytes = readFileSync(file);
  bytes[9] = 255;
  writeFileSync(file, bytes);
  await expect(notesAt()).rejects.toThrow();
  expect(await notesAt(new Date(second.at))).toBe(20);
  rmSync(join(folder, chain, `${String(2).padStart(9, '0')}.json`));
  expect(await notesAt()).toBe(10);
});

test.each([
  ['backup:after-spool', 1, 0],
  ['backup:after-pack', 2, 100],
  ['backup:after-file', 2, 100],
  ['backup:after-entry', 2, 200],
])(
  'killed at %s of step %i, the last whole step is restored, and it goes on',
  async (failpoint, times, notes) => {
    const store = await open();
    await write(store, 100);
    const { ended } = backUp({ FAILPOINT: `${failpoint}@${times}` });
    if (times > 1) {
      await eventually(() => stepsOf().length > 0, SLOW);
      await write(store, 100);
    }
    expect((await ended)[1]).toBe('SIGKILL');
    if (notes === 0) await expect(notesAt()).rejects.toThrow('has nothing');
    else expect(await notesAt()).toBe(notes);

    await write(store, 50);
    const follower = createFollower({ path, folder, ...FOREVER });
    await follower.look();
    follower.close();
    await store.close();
    expect(await notesAt()).toBe(next - 1);
  },
  200_000,
);
