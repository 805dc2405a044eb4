import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspectFile, openStore } from '@aitbc/chassis';
import { migrations as payments } from '../services/payments/migrations/index.ts';
import { proveLedger } from '../services/payments/src/ledger-proof.ts';
import type { Kept, KeptFacts } from './backup-folder.ts';

interface Row {
  readonly service: string;
  readonly at: string;
  readonly rows: string;
  readonly said: string;
  readonly ledger: string;
  readonly verdict: string;
}

const countsProblem = (found: Readonly<Record<string, number>>, said: KeptFacts['tables']): string | null => {
  if (said === null) return null;
  const wrong = [...new Set([...Object.keys(found), ...Object.keys(said)])].filter(
    (table) => found[table] !== said[table],
  );
  const [table] = wrong;
  return table === undefined
    ? null
    : `${table} has ${found[table] ?? 'no'} rows, the backup says ${said[table] ?? 'none'}`;
};

const ledgerOf = async (path: string): Promise<{ text: string; wrong: string | null }> => {
  const store = await openStore({ url: `sqlite:///${path}`, service: 'payments', migrations: payments });
  try {
    const { blocks, transfers, wrong } = await proveLedger(store.read);
    return { text: `${blocks} blocks, ${transfers} transfers`, wrong };
  } finally {
    await store.close();
  }
};

const sum = (tables: Readonly<Record<string, number>>): string =>
  String(Object.values(tables).reduce((all, rows) => all + rows, 0));

const tryOne = async ({ service, make }: Kept, folder: string): Promise<Row> => {
  const row: Row = { service, at: '', rows: '', said: '', ledger: '', verdict: '' };
  try {
    const path = join(folder, `${service}.db`);
    const { at, tables } = await make(path);
    const report = inspectFile(path);
    const facts = { at: at ?? '-', rows: sum(report.tables), said: tables === null ? '-' : sum(tables) };
    const ledger = service === 'payments' ? await ledgerOf(path) : { text: '', wrong: null };
    const wrong = countsProblem(report.tables, tables) ?? ledger.wrong;
    return { ...row, ...facts, ledger: ledger.text, verdict: wrong ?? 'right' };
  } catch (error) {
    return { ...row, verdict: (error as Error).message };
  }
};

const HEAD: Row = {
  service: 'service',
  at: 'as of',
  rows: 'rows',
  said: 'by the backup',
  ledger: 'ledger',
  verdict: '',
};
const asTable = (rows: readonly Row[]): string => {
  const columns = ['service', 'at', 'rows', 'said', 'ledger', 'verdict'] as const;
  const widths = columns.map((column) => Math.max(...[HEAD, ...rows].map((row) => row[column].length)));
  return [HEAD, ...rows]
    .map((row) =>
      columns
        .map((column, at) => row[column].padEnd(widths[at] as number))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
};

/**
 * Restores what a backup holds into a folder of its own, looks through it, and takes it away again: integrity and foreign keys of each
 * file, its rows against what was written down of them, and the ledger from its first block on.
 * @returns the code to end with
 */
export const drill = async (kept: readonly Kept[]): Promise<number> => {
  const folder = mkdtempSync(join(tmpdir(), 'aitbc-drill-'));
  try {
    const rows: Row[] = [];
    for (const one of kept) rows.push(await tryOne(one, folder));
    console.log(asTable(rows));
    return rows.every(({ verdict }) => verdict === 'right') ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
