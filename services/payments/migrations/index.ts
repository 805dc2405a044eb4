import type { Migrations } from '@aitbc/chassis';
import { ledger } from './0001-ledger.ts';
import { exchange } from './0010-exchange.ts';
import { debts } from './0020-debts.ts';
import { refundRequests } from './0030-refund-requests.ts';

export const migrations: Migrations = {
  '0001-ledger': ledger,
  '0010-exchange': exchange,
  '0020-debts': debts,
  '0030-refund-requests': refundRequests,
};
