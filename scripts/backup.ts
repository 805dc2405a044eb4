import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { backUpFile } from '../libs/chassis/src/backup.ts';
import { followAll } from './backup-continuous.ts';
import { isOnPostgres, WITH_POSTGRES } from './on-postgres.ts';

const usage = `npm run backup -- [--data-dir .data] [--to backups]
npm run backup -- --continuous [--data-dir .data] [--to backups] [--every 30] [--base-every 24] [--keep 7]

Copies the file of every service while they run, each consistent as of one moment, and verifies each copy
(integrity and foreign keys). Restore one with: npm run restore -- --from FOLDER --service NAME

--continuous goes on until it is stopped, and writes every --every seconds (60 at most) what changed: first all pages of each file, then
those that are others than before. After --base-every hours, or when the changes are larger than the base, it begins anew.
What is older than --keep days is dropped. What was wiped is in no step after that, and in the folder for --base-every and
--keep together at most. Restore with: npm run restore -- --from FOLDER [--at TIME]; try it with --drill.`;

const { values } = parseArgs({
  options: {
    'data-dir': { type: 'string', default: process.env.DATA_DIR ?? '.data' },
    to: { type: 'string', default: 'backups' },
    continuous: { type: 'boolean', default: false },
    every: { type: 'string', default: '30' },
    'base-every': { type: 'string', default: '24' },
    keep: { type: 'string', default: '7' },
    help: { type: 'boolean', short: 'h' },
  },
});

const copyAll = async (files: readonly string[]): Promise<number> => {
  const folder = join(values.to, new Date().toISOString().replaceAll(':', '-'));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const manifest: Record<string, unknown> = {};
  for (const file of files) {
    const startedAt = performance.now();
    const report = await backUpFile(join(values['data-dir'], file), join(folder, file), (share) => {
      if (process.stdout.isTTY) process.stdout.write(`\r${file.padEnd(16)} ${Math.round(share * 100)} %`);
    });
    manifest[file.slice(0, -'.db'.length)] = { stream: report.stream, tables: report.tables };
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    const size = `${(report.bytes / 1_048_576).toFixed(1)} MiB`;
    console.log(`${process.stdout.isTTY ? '\r' : ''}${file.padEnd(16)} ${size}, verified, ${seconds} s`);
  }
  writeFileSync(join(folder, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
  console.log(`Copied to ${folder}`);
  return 0;
};

const numberOf = (name: 'every' | 'base-every' | 'keep', most: number): number => {
  const number = Number(values[name]);
  if (!(number > 0 && number <= most)) throw new Error(`--${name} must be a number above 0, ${most} at most`);
  return number;
};

const main = async (): Promise<number> => {
  if (isOnPostgres()) {
    console.error(WITH_POSTGRES);
    return 1;
  }
  const files = existsSync(values['data-dir'])
    ? readdirSync(values['data-dir']).filter((name) => name.endsWith('.db'))
    : [];
  if (files.length === 0) {
    console.error(`No databases in ${values['data-dir']}. Name the folder with --data-dir.`);
    return 1;
  }
  if (!values.continuous) return copyAll(files);
  return followAll({
    paths: files.map((file) => join(values['data-dir'], file)),
    to: values.to,
    everyMs: numberOf('every', 60) * 1_000,
    chainMs: numberOf('base-every', 24 * 366) * 3_600_000,
    keptMs: numberOf('keep', 36_500) * 86_400_000,
  });
};

if (values.help) console.log(usage);
else
  process.exitCode = await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
