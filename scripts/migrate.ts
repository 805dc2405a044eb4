import { openStore } from '@aitbc/chassis';
import { migrations as gateway } from '../services/gateway/migrations/index.ts';
import { migrations as governance } from '../services/governance/migrations/index.ts';
import { migrations as jobs } from '../services/jobs/migrations/index.ts';
import { migrations as market } from '../services/market/migrations/index.ts';
import { migrations as miners } from '../services/miners/migrations/index.ts';
import { migrations as payments } from '../services/payments/migrations/index.ts';

// Brings the schemas of all services in one PostgreSQL up to this version, before its processes are rolled. It is what
// each process does when it starts, and nothing else: run beforehand, it keeps a long migration out of the roll.

const HELP = `npm run migrate

Makes and migrates the schemas of all services in the PostgreSQL that DATABASE_URL names
(postgres://user:password@host:5432/database). Files of SQLite are migrated by their own service when it starts.`;

const services = { gateway, jobs, miners, market, payments, governance };

/** @returns the exit code: 2 when there is nothing that could be migrated */
const main = async (): Promise<number> => {
  if (process.argv.includes('--help')) {
    console.log(HELP);
    return 0;
  }
  const url = process.env.DATABASE_URL ?? '';
  if (!/^postgres(ql)?:\/\//.test(url)) {
    console.error(`DATABASE_URL does not name a PostgreSQL.\n\n${HELP}`);
    return 2;
  }
  for (const [service, migrations] of Object.entries(services)) {
    const startedAt = performance.now();
    const store = await openStore({ url, service, migrations });
    await store.close();
    console.log(`${service}: up to date after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
  }
  return 0;
};

process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  return 1;
});
