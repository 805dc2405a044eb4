import { z } from 'zod';
import { ADDRESS_PATTERN } from './ledger.ts';

// How the ledger's own terms look on the wire.

export const Hash = z
  .string()
  .regex(/^[0-9a-fA-F]{64}$/, 'must be 64 hex digits')
  .toLowerCase()
  .meta({ description: 'SHA-256, hex; taken in any case, given in lower case' });
export const Address = z
  .string()
  .regex(ADDRESS_PATTERN, 'must be a ledger address')
  .toLowerCase()
  .meta({ description: 'A place on the ledger', example: 'ait1mfrggzdfmztwq2lknnwg23tpobyxe43uo' });

export const AccountKind = z.enum(['user', 'escrow', 'mint', 'platform', 'treasury']);
export type AccountKind = z.infer<typeof AccountKind>;

export const TransferKind = z
  .enum([
    'credit',
    'exchange',
    'hold',
    'release',
    'fee',
    'refund',
    'treasury_share',
    'allocation',
    'transfer',
  ])
  .meta({
    description:
      'credit and exchange come from the mint (exchange goes back to it for bitcoin that left the chain); hold goes into escrow; release, fee and refund come out of it; treasury_share is half of the fees of a block; allocation is what token holders decided; transfer is what one account gave another',
  });
export type TransferKind = z.infer<typeof TransferKind>;
