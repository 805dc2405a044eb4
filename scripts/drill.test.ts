import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { backUpFile, createFollower, inspectFile, openStore, type Store } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { openByHand, scratchDirectory, sqliteOnly } from '@aitbc/testing';
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { migrations } from '../services/payments/migrations/index.ts';
import { creditFromMint } from '../services/payments/src/commands/mint.ts';
import { sealBlock } from '../services/payments/src/seal.ts';
import { openSigner } from '../services/payments/src/signing.ts';
import { beginTerm } from '../services/payments/src/store/blocks.ts';
import { keptIn } from './backup-folder.ts';
import { drill } from './drill.ts';

const { test } = sqliteOnly('copies of files, and what comes of putting one back');

const BLOCKS = 3;
let directory: string;
let path: string;
let store: Store;
let seal: () => Promise<void>;
beforeEach(async () => {
  directory = scratchDirectory();
  mkdirSync(join(directory, 'data'));
  path = join(directory, 'data', 'payments.db');
  store = await openStore({ url: `sqlite:///${path}`, service: 'payments', migrations });
  const signer = await openSigner(store, { NODE_ENV: 'test' });
  await signer.keep();
  seal = async () => {
    const credit = {
      transfer_id: newId(),
      account_id: newId(),
      amount_minor: 1_000,
      kind: 'credit' as const,
      reference: newId(),
      now_ms: Date.now(),
    };
    await store.transact('credit', (trx) => creditFromMint(trx, credit));
    await sealBlock(store, signer, await store.transact('term', beginTerm), Date.now());
  };
  for (let n = 0; n < BLOCKS; n += 1) await seal();
});
afterEach(() => store.close());

const drilled = async (folder: string, at?: Date): Promise<{ code: number; said: string }> => {
  const lines: string[] = [];
  const spy = vi.spyOn(console, 'log').mockImplementation((line: string) => void lines.push(line));
  try {
    return { code: await drill(keptIn(folder, at)), said: lines.join('\n') };
  } finally {
    spy.mockRestore();
  }
};

test('a drill proves files, rows and the ledger of a continuous backup, now and at a moment; and it is restored', async () => {
  const live = join(directory, 'live');
  const follower = createFollower({ path, folder: join(live, 'payments'), chainMs: 1e12, keptMs: 1e12 });
  const first = (await follower.look()).entry;
  await seal();
  await follower.look();
  follower.close();
  expect(await drilled(live)).toMatchObject({ code: 0 });
  expect((await drilled(live)).said).toMatch(/^payments .* 4 blocks, 4 transfers +right$/m);
  const then = await drilled(live, new Date(first?.at ?? 0));
  expect(then.said).toMatch(/^payments .* 3 blocks, 3 transfers +right$/m);

  const args = ['--from', live, '--at', first?.at ?? '', '--data-dir', join(directory, 'restored')];
  mkdirSync(join(directory, 'restored'));
  const script = join(import.meta.dirname, 'restore.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...args]);
  expect(stdout).toContain(`payments.db      restored as of ${first?.at}, speaks as payments-`);
  const restored = inspectFile(join(directory, 'restored', 'payments.db'));
  expect(restored.tables.block).toBe(BLOCKS);
  expect(restored.stream).not.toBe(store.stream);
}, 120_000);

test('a row that is missing and a ledger that was changed are named, and the drill ends with 1', async () => {
  const copies = join(directory, 'copies');
  mkdirSync(copies);
  const copy = join(copies, 'payments.db');
  const { stream, tables } = await backUpFile(path, copy);
  const manifest = join(copies, 'manifest.json');
  writeFileSync(manifest, JSON.stringify({ payments: { stream, tables } }));
  expect(await drilled(copies)).toMatchObject({ code: 0 });
  expect(() => keptIn(copies, new Date())).toThrow('--at is for continuous backups');

  const db = await openByHand(`sqlite:///${copy}`, 'off');
  await db.exec('UPDATE transfer SET amount_minor = amount_minor + 1 WHERE seq = 2');
  await db.close();
  const changed = await drilled(copies);
  expect(changed.code).toBe(1);
  expect(changed.said).toMatch(/block 1 transaction [0-9a-f]{64}: hash does not match its content/);

  const said = JSON.parse(readFileSync(manifest, 'utf8')) as { payments: { tables: Record<string, number> } };
  said.payments.tables.transfer = BLOCKS + 1;
  writeFileSync(manifest, JSON.stringify(said));
  const fewer = await drilled(copies);
  expect([fewer.code, fewer.said]).toEqual([
    1,
    expect.stringContaining('transfer has 3 rows, the backup says 4'),
  ]);
});
