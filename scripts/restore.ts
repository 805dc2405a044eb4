import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CannotMove, restoreFile, restoreSchema } from '@aitbc/chassis';
import { type Kept, keptIn } from './backup-folder.ts';
import { holdDataDir } from './data-lock.ts';
import { drill } from './drill.ts';
import { isOnPostgres, schemaOf, WITH_POSTGRES } from './on-postgres.ts';

const usage = `npm run restore -- --from backups/TIME [--service NAME ...] [--data-dir .data]
npm run restore -- --from backups [--at 2026-11-29T12:00:00Z] [--service NAME ...] [--data-dir .data]
npm run restore -- --drill --from FOLDER [--at TIME] [--service NAME ...]
npm run restore -- --database postgres://USER:PASSWORD@HOST/DATABASE [--service NAME ...]

Puts copies made by \`npm run backup\` in the place of the services' files; all of them, or those named.
Stop the coordinator first. A restored service is behind its neighbours: what they told it since the copy is reported
when it next hears from them ("messages were missed" in its log, inbox_missed_messages_total in its metrics), and its
reconcilers ask again. A restored payments service seals new blocks from the height of the copy on: check the chain
with \`npm run verify\` and compare its height with the one your auditors saw last.

A folder of \`npm run backup -- --continuous\` gives the newest moment of each service, or with --at the newest at or before that time.
--drill touches no file of the coordinator, which may run: it restores into a temporary folder, proves each file, its rows against what the
backup says of them, and the ledger, prints a table, and ends with 0 when all is right, 1 when something is not.

With --database: for schemas of PostgreSQL, after pg_restore (or any other way back in time) and before the services
start. ?schema=NAME means what it means in POSTGRES_URL. It restores nothing itself: it gives their outgoing messages a new name, because under the old one receivers would
take new messages for some that they have heard. Of all services, or those named: those that were put back.
env:NAME takes the URL from the environment, so that no list of processes shows its password.`;

const SERVICES = ['gateway', 'jobs', 'miners', 'market', 'payments', 'governance'];

const { values } = parseArgs({
  options: {
    from: { type: 'string' },
    at: { type: 'string' },
    drill: { type: 'boolean', default: false },
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

/** @throws when the backup lacks a service that was named */
const wanted = (folder: string): Kept[] => {
  const at = values.at === undefined ? undefined : new Date(values.at);
  if (at !== undefined && Number.isNaN(at.getTime())) throw new Error(`--at ${values.at} is not a time`);
  const kept = keptIn(folder, at);
  const names = (values.service ?? kept.map(({ service }) => service)).map((name) =>
    name.replace(/\.db$/, ''),
  );
  return names.map((name) => {
    const found = kept.find(({ service }) => service === name);
    if (found === undefined) throw new Error(`${join(folder, name)} does not exist; nothing was restored.`);
    return found;
  });
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
  const kept = wanted(values.from);
  if (values.drill) return drill(kept);
  const unlock = await holdDataDir(values['data-dir']);
  if (!unlock) {
    console.error(`A coordinator is running on ${values['data-dir']}: stop it first.`);
    return 1;
  }
  try {
    for (const { service, make } of kept) {
      const target = join(values['data-dir'], `${service}.db`);
      const copy = `${target}.restoring`;
      const { at, report } = await make(copy)
        .then(({ at }) => ({ at, report: restoreFile(copy, target) }))
        // Also of one that could not be: a copy holds all that the file does.
        .finally(() => rmSync(copy, { force: true }));
      const as = at === null ? '' : ` as of ${at}`;
      console.log(
        `${`${service}.db`.padEnd(16)} restored${as}, speaks as ${report.stream}, ${report.outbox} messages to say again`,
      );
    }
    return 0;
  } finally {
    unlock();
  }
};

if (values.help) console.log(usage);
else
  process.exitCode = await main().catch((error: Error) => {
    console.error(error.message);
    return 1;
  });
