import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { backUpFile } from '../libs/chassis/src/backup.ts';
import { isOnPostgres, WITH_POSTGRES } from './on-postgres.ts';

const usage = `npm run backup -- [--data-dir .data] [--to backups]

Copies the file of every service while they run, each consistent as of one moment, and verifies each copy
(integrity and foreign keys). Restore one with: npm run restore -- --from FOLDER --service NAME`;

const { values } = parseArgs({
  options: {
    'data-dir': { type: 'string', default: process.env.DATA_DIR ?? '.data' },
    to: { type: 'string', default: 'backups' },
    help: { type: 'boolean', short: 'h' },
  },
});

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
  const folder = join(values.to, new Date().toISOString().replaceAll(':', '-'));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const file of files) {
    const startedAt = performance.now();
    const report = await backUpFile(join(values['data-dir'], file), join(folder, file), (share) => {
      if (process.stdout.isTTY) process.stdout.write(`\r${file.padEnd(16)} ${Math.round(share * 100)} %`);
    });
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    const size = `${(report.bytes / 1_048_576).toFixed(1)} MiB`;
    console.log(`${process.stdout.isTTY ? '\r' : ''}${file.padEnd(16)} ${size}, verified, ${seconds} s`);
  }
  console.log(`Copied to ${folder}`);
  return 0;
};

if (values.help) console.log(usage);
else process.exitCode = await main();
