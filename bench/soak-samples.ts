import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { connectRedis, createLog } from '@aitbc/chassis';
import type { Stack } from '../scripts/stack.ts';
import type { openPages, PageMemory } from './open-pages.ts';
import { rssMbOf } from './rest.ts';

/** What a file holds for ever, and why; see docs/decisions/0047-keeping-and-wiping.md. */
export const FOR_EVER: Readonly<Record<string, readonly string[]>> = {
  'jobs.db': ['kept_receipt', 'usage_day'],
  'payments.db': ['job', 'payment', 'resolution', 'transfer', 'account', 'block', 'credit'],
  'governance.db': ['block', 'block_part'],
  'gateway.db': ['audit'],
};

/** Bytes of each table with its indexes. */
type TableSizes = Readonly<Record<string, number>>;

export interface Sample {
  readonly seconds: number;
  /** Reported so far. */
  readonly jobs: number;
  /** Bytes by name; logs end in -wal. Redis's folder is one. */
  readonly files: Readonly<Record<string, number>>;
  readonly rssMb: Readonly<Record<string, number>>;
  readonly redis: { readonly mb: number; readonly keys: number };
  /** Pages of the console that were left open, where there is a Chromium; not in every sample. */
  readonly pages?: Readonly<Record<string, PageMemory>>;
  /** Not in every sample. */
  readonly tables?: Readonly<Record<string, TableSizes>>;
}

const sizesIn = (folder: string): Record<string, number> => {
  const sizes: Record<string, number> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const name = entry.parentPath === folder ? entry.name : 'redis';
    if (!entry.isFile() || !/\.db$|-wal$|^redis$/.test(name)) continue;
    try {
      sizes[name] = (sizes[name] ?? 0) + statSync(join(entry.parentPath, entry.name)).size;
    } catch {
      // Redis took away a file of before a rewrite.
    }
  }
  return sizes;
};

const tablesOf = (path: string): TableSizes => {
  const db = new DatabaseSync(path, { readOnly: true });
  try {
    const rows = db
      .prepare(
        `SELECT coalesce(m.tbl_name, s.name) AS name, sum(s.pgsize) AS bytes
         FROM dbstat s LEFT JOIN sqlite_schema m ON m.name = s.name WHERE s.aggregate = TRUE GROUP BY 1`,
      )
      .all() as { name: string; bytes: number }[];
    return Object.fromEntries(rows.map(({ name, bytes }) => [name, bytes]));
  } finally {
    db.close();
  }
};

/** Looks at files and memory. @returns what takes one sample, and what lets go */
export const watch = async (stack: Stack, pages: Awaited<ReturnType<typeof openPages>>) => {
  const redis = connectRedis(stack.broker.url, createLog('bench', 'silent'));
  if (redis.status !== 'ready') await once(redis, 'ready');
  const since = performance.now();
  const look = async (jobs: number, withPages: boolean, withTables: boolean): Promise<Sample> => {
    const files = sizesIn(stack.rows);
    const memory = await redis.info('memory');
    return {
      seconds: Math.round((performance.now() - since) / 1_000),
      jobs,
      files,
      rssMb: Object.fromEntries(
        stack.processes.flatMap(({ name, pid }) =>
          pid === undefined ? [] : [[name, Math.round(rssMbOf(pid))]],
        ),
      ),
      redis: {
        mb: Number(/^used_memory:(\d+)/m.exec(memory)?.[1]) / 1_048_576,
        keys: await redis.dbsize(),
      },
      ...(withPages && pages !== undefined ? { pages: await pages.look() } : {}),
      ...(withTables
        ? {
            tables: Object.fromEntries(
              Object.keys(files)
                .filter((name) => name.endsWith('.db'))
                .map((name) => [name, tablesOf(join(stack.rows, name))]),
            ),
          }
        : {}),
    };
  };
  return { look, close: () => redis.disconnect() };
};
