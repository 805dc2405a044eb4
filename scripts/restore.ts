import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CannotMove, restoreFile, restoreSchema } from '@aitbc/chassis';
import { holdDataDir } from './data-lock.ts';
import { isOnPostgres, schemaOf, WITH_POSTGRES } from './on-postgres.ts';

const usage = `npm run restore -- --from backups/TIME [--service NAME ...] [--data-dir .data]
npm run restore -- --database postgres://USER:PASSWORD@HOST/DATABASE [--service NAME ...]

Puts copies made by \`npm run backup\` in the place of the services' files; all of them, or those named.
Stop the coordinator first. A restored service is behind its neighbours: what they told it since the copy is reported
when it next hears from them ("messages were missed" in its log, inbox_missed_messages_total in its metrics), and its
reconcilers ask again. A restored payments service seals new blocks from the height of the copy on: check the chain
with \`npm run verify\` and compare its height with the one your auditors saw last.

With --database: for schemas of PostgreSQL, after pg_restore (or any other way back in time) and before the services
start. ?schema=NAME means what it means in POSTGRES_URL. It restores nothing itself: it gives their outgoing messages a new name, because under the old one receivers would
take new messages for some that they have heard. Of all services, or those named: those that were put back.
env:NAME takes the URL from the environment, so that no list of processes shows its password.`;

const SERVICES = ['gateway', 'jobs', 'miners', 'market', 'payments', 'governance'];

const { values } = parseArgs({
  options: {
    from: { type: 'string' },
    database: { type: 'string' },
    service: { type: 'string', multiple: true },
    'data-dir': { type: 'string', default: process.env.DATA_DIR ?? '.data' },
    help: { type: 'boolean', short: 'h' },
  },
});

const restoreSchemas = async (given: string): Promise<number> => {
  for (const service of values.service ?? SERVICES) {
    try {
      const { stream, outbox } = await restoreSchema({ service, url: schemaOf(given, service) });
      console.log(`${service.padEnd(16)} speaks as ${stream}, ${outbox} messages to say again`);
    } catch (error) {
      // The message alone: what the driver hangs on an error may hold the URL.
      const { message } = error as Error;
      console.error(error instanceof CannotMove ? message : `${service}: ${message}`);
      return 1;
    }
  }
  return 0;
};

const main = async (): Promise<number> => {
  if (values.database !== undefined) return restoreSchemas(values.database);
  if (isOnPostgres()) {
    console.error(WITH_POSTGRES);
    return 1;
  }
  if (values.from === undefined || !existsSync(values.from)) {
    console.error(`Name the folder of the copies with --from.\n\n${usage}`);
    return 2;
  }
  const unlock = await holdDataDir(values['data-dir']);
  if (!unlock) {
    console.error(`A coordinator is running on ${values['data-dir']}: stop it first.`);
    return 1;
  }
  try {
    const files = (values.service ?? readdirSync(values.from).filter((name) => name.endsWith('.db'))).map(
      (name) => (name.endsWith('.db') ? name : `${name}.db`),
    );
    for (const file of files) {
      const copy = join(values.from, file);
      if (!existsSync(copy)) {
        console.error(`${copy} does not exist; nothing more was restored.`);
        return 1;
      }
      const report = restoreFile(copy, join(values['data-dir'], file));
      console.log(
        `${file.padEnd(16)} restored, speaks as ${report.stream}, ${report.outbox} messages to say again`,
      );
    }
    return 0;
  } finally {
    unlock();
  }
};

if (values.help) console.log(usage);
else process.exitCode = await main();
