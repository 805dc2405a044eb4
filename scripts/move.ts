import { existsSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  CannotMove,
  type MovedStore,
  type MoveProgress,
  type Moving,
  moveStores,
  undoMove,
} from '@aitbc/chassis';
import { migrations as gateway } from '../services/gateway/migrations/index.ts';
import { migrations as governance } from '../services/governance/migrations/index.ts';
import { migrations as jobs } from '../services/jobs/migrations/index.ts';
import { migrations as market } from '../services/market/migrations/index.ts';
import { migrations as miners } from '../services/miners/migrations/index.ts';
import { migrations as payments } from '../services/payments/migrations/index.ts';
import { auditAccounts } from '../services/payments/src/audit.ts';
import { fromEnvironment, schemaOf } from './on-postgres.ts';

const usage = `npm run move -- --from sqlite:///DIR/ --to postgres://USER:PASSWORD@HOST/DATABASE      and back
npm run move -- --undo sqlite:///DIR/

Moves the data of all services, or of those named, from files to PostgreSQL or back.

  --from, --to    where the data is, and where it goes: sqlite:///DIR/ for the files of all services (DIR/jobs.db, ...),
                  sqlite:///DIR/jobs.db for one; postgres://... as in POSTGRES_URL: a schema for each service.
                  env:NAME takes the URL from the environment, so that no list of processes shows its password.
  --service NAME  this one alone; may be given several times. All services that talk to each other may stand on
                  different engines, so one at a time is fine.
  --undo URL      makes what was moved away the valid data again, without what was done since.

Stop before: all processes of the services that are moved (all gateways, too, if the gateway is). Nothing else: Redis, the
dispatchers and other services go on, and what they say waits for the moved ones. They are away while it copies, see
deploy/README.md for how long; clients are answered 503 with Retry-After meanwhile, or nothing when the gateway is moved.

The target must be empty. Nothing is written before everything was looked at. A target that is not whole is marked, and
no service starts on it; broken off, the same command begins it anew. All is read again afterwards and compared by counts and
hashes, and the ledger is audited. Then the source is marked: no service starts on it by accident. It stays as it was.

  npm run move -- --from sqlite:///.data/ --to env:POSTGRES_URL
  npm run move -- --from env:POSTGRES_URL --to sqlite:////var/lib/aitbc/ --service jobs --service payments`;

const auditLedger: Moving['audit'] = async (reader) => {
  const wrong: string[] = [];
  let after = 0;
  do {
    const found = await auditAccounts(reader, after);
    wrong.push(
      ...found.wrong.map((address) => `the balance of ${address} does not agree with its transfers`),
    );
    after = found.next;
  } while (after !== 0);
  return wrong;
};
const SERVICES: Record<string, Pick<Moving, 'migrations' | 'audit'>> = {
  gateway: { migrations: gateway },
  jobs: { migrations: jobs },
  miners: { migrations: miners },
  market: { migrations: market },
  payments: { migrations: payments, audit: auditLedger },
  governance: { migrations: governance },
};

class Misused extends Error {}

/** A place that holds one service or all. @returns the URL of a service there, and the one service if it is one */
const placeOf = (option: string, given: string): { of: (service: string) => string; only?: string } => {
  const text = fromEnvironment(given);
  if (/^postgres(ql)?:/.test(text)) return { of: (service) => schemaOf(text, service) };
  if (!text.startsWith('sqlite:///'))
    throw new Misused(`--${option}: must begin with sqlite:/// or postgres://`);
  const path = resolve(text.slice('sqlite:///'.length));
  const isFolder = text.endsWith('/') || (existsSync(path) && statSync(path).isDirectory());
  if (isFolder) return { of: (service) => `sqlite:///${join(path, `${service}.db`)}` };
  return { of: () => `sqlite:///${path}`, only: basename(path).replace(/\.db$/, '') };
};

const servicesOf = (
  named: readonly string[] | undefined,
  onlys: readonly (string | undefined)[],
): string[] => {
  const single = onlys.filter((only) => only !== undefined);
  const wanted =
    named ?? (single.length > 0 ? [single.find((only) => only in SERVICES) ?? ''] : Object.keys(SERVICES));
  if (single.length > 0 && wanted.length !== 1)
    throw new Misused('One file holds one service: name a folder, or one --service');
  for (const service of wanted)
    if (!(service in SERVICES))
      throw new Misused(`Name the service with --service: one of ${Object.keys(SERVICES).join(', ')}`);
  return [...new Set(wanted)];
};

const count = (number: number): string => number.toLocaleString('en');
const size = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MiB`;
const LINE_EVERY_MS = 5_000;
const TTY_EVERY_MS = 200;

/** Says how far it is: on a terminal in one line, elsewhere every few seconds. */
const reporter = () => {
  /** Services are copied and read back in turns: each phase has a clock of its own. */
  const clocks = new Map<string, { ms: number; rows: number }>();
  let [phase, lastAt, saidAt] = ['', performance.now(), Number.NEGATIVE_INFINITY];
  return (at: MoveProgress): void => {
    const now = performance.now();
    const clock = clocks.get(at.phase) ?? { ms: 0, rows: 0 };
    if (at.phase === phase) clock.ms += now - lastAt;
    clock.rows = at.rows;
    clocks.set(at.phase, clock);
    if (at.phase !== phase) saidAt = Number.NEGATIVE_INFINITY;
    [phase, lastAt] = [at.phase, now];
    if (now - saidAt < (process.stdout.isTTY ? TTY_EVERY_MS : LINE_EVERY_MS)) return;
    saidAt = now;
    const perSecond = clock.ms > 1_000 ? (1_000 * clock.rows) / clock.ms : 0;
    const isCounted = at.ofRows > 0;
    const parts = [
      `${at.phase} ${at.service}.${at.table}: ${count(at.rows)}${isCounted ? ` of ${count(at.ofRows)}` : ''} rows`,
      ...(at.bytes > 0 ? [size(at.bytes)] : []),
      ...(isCounted ? [`${Math.floor((100 * at.rows) / at.ofRows)} %`] : []),
      ...(perSecond > 0 ? [`${count(Math.round(perSecond))} rows/s`] : []),
      ...(perSecond > 0 && isCounted ? [`${Math.ceil((at.ofRows - at.rows) / perSecond)} s left`] : []),
    ];
    process.stdout.write(process.stdout.isTTY ? `\r\x1b[K${parts.join(', ')}` : `${parts.join(', ')}\n`);
  };
};

const report = (moved: readonly MovedStore[], seconds: number): void => {
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
  for (const { service, from, to, isOld, tables, bytes } of moved) {
    console.log(`${service}: ${from} -> ${to}${isOld ? ', done before' : `, ${size(bytes)}`}`);
    for (const { table, rows, sha256 } of tables.filter((one) => one.rows > 0))
      console.log(
        `  ${table.padEnd(24)}${count(rows).padStart(12)} rows  sha256 ${sha256.slice(0, 16)}, the same on both sides`,
      );
  }
  const rows = moved.flatMap(({ tables }) => tables).reduce((sum, table) => sum + table.rows, 0);
  console.log(
    `Moved and read back: ${count(rows)} rows in ${seconds.toFixed(1)} s. ${moved.some(({ service, isOld }) => service === 'payments' && !isOld) ? 'The ledger was audited. ' : ''}Start the services with the new DATABASE_URL (or POSTGRES_URL for all). The old data is left as it was, and marked.`,
  );
};

const { values } = parseArgs({
  options: {
    from: { type: 'string' },
    to: { type: 'string' },
    service: { type: 'string', multiple: true },
    undo: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});

const undo = async (given: string): Promise<void> => {
  const place = placeOf('undo', given);
  for (const service of servicesOf(values.service, [place.only])) {
    const { migrations } = SERVICES[service] as Moving;
    const other = await undoMove({ service, url: place.of(service), migrations });
    console.log(
      `${service} is valid here again. Do not start it on ${other} any more: what was done there is lost here.`,
    );
  }
};

const main = async (): Promise<number> => {
  if (values.undo !== undefined) {
    await undo(values.undo);
    return 0;
  }
  if (values.from === undefined || values.to === undefined)
    throw new Misused(`Name --from and --to.\n\n${usage}`);
  const [from, to] = [placeOf('from', values.from), placeOf('to', values.to)];
  const movings = servicesOf(values.service, [from.only, to.only]).map(
    (service): Moving => ({
      ...(SERVICES[service] as Moving),
      service,
      from: from.of(service),
      to: to.of(service),
    }),
  );
  const startedAt = performance.now();
  const moved = await moveStores({ movings, onProgress: reporter() });
  report(moved, (performance.now() - startedAt) / 1_000);
  return 0;
};

if (values.help) console.log(usage);
else
  process.exitCode = await main().catch((error: Error & { code?: string }) => {
    if (process.stdout.isTTY) process.stdout.write('\n');
    const isPlain = error instanceof CannotMove || error instanceof Misused;
    // The message alone: what the driver hangs on an error may hold the URL.
    console.error(isPlain ? error.message : `It was not moved: ${error.message}`);
    return error instanceof Misused ? 2 : 1;
  });
