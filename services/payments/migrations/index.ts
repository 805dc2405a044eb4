import type { MigrationsByEngine } from '@aitbc/chassis';
import { create as createLedger } from './postgres/0001-ledger.ts';
import { create as createExchange } from './postgres/0002-exchange.ts';
import { create as createSealer } from './postgres/0003-sealer.ts';
import { create as createTransfers } from './postgres/0004-transfers.ts';
import { create as createUnpaidJobs } from './postgres/0005-unpaid-jobs.ts';
import { ledger } from './sqlite/0001-ledger.ts';
import { exchange } from './sqlite/0010-exchange.ts';
import { debts } from './sqlite/0020-debts.ts';
import { refundRequests } from './sqlite/0030-refund-requests.ts';
import { sealer } from './sqlite/0040-sealer.ts';
import { transfers } from './sqlite/0050-transfers.ts';
import { unpaidJobs } from './sqlite/0060-unpaid-jobs.ts';

/** PostgreSQL begins with what all of SQLite's make together; a change from here on goes into both. */
export const migrations: MigrationsByEngine = {
  sqlite: {
    '0001-ledger': ledger,
    '0010-exchange': exchange,
    '0020-debts': debts,
    '0030-refund-requests': refundRequests,
    '0040-sealer': sealer,
    '0050-transfers': transfers,
    '0060-unpaid-jobs': unpaidJobs,
  },
  postgres: {
    '0001-ledger': { up: createLedger },
    '0002-exchange': { up: createExchange },
    '0003-sealer': { up: createSealer },
    '0004-transfers': { up: createTransfers },
    '0005-unpaid-jobs': { up: createUnpaidJobs },
  },
};
