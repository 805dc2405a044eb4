import { hash } from 'node:crypto';
import { builder, hot, insertRows, type Params, type Reader, rowsJson, type Trx } from '@aitbc/chassis';
import { type TransferKind, transferHash, uuidTime } from '@aitbc/contracts';
import type { Tables } from '../tables.ts';
import type { AccountRef } from './accounts.ts';

const db = builder<Tables>();

/** Those of a payment; they are nearly all of the ledger. */
const KINDS_OF_A_PAYMENT: readonly TransferKind[] = ['hold', 'release', 'fee', 'refund'];

/**
 * The id of the one transfer of this kind for this reference, so a retry finds it: a UUIDv8 (RFC 9562) from SHA-256. That of a payment
 * begins with the time of the payment's own id, a UUIDv7: what is written near each other in time stands on the same page of the index,
 * where by a hash alone each has a page of its own to read, log and write.
 */
export const transferId = (kind: TransferKind, reference: string): string => {
  const digest = hash('sha256', `aitbc-transfer-id-v1\n${kind}\n${reference}`, 'buffer').subarray(0, 16);
  if (KINDS_OF_A_PAYMENT.includes(kind)) uuidTime(reference).copy(digest);
  digest[6] = ((digest[6] as number) & 0x0f) | 0x80;
  digest[8] = ((digest[8] as number) & 0x3f) | 0x80;
  const hex = digest.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};

const find = hot((p: Params<{ id: string }>) =>
  db.selectFrom('transfer').selectAll().where('id', '=', p('id')),
);
interface Row {
  id: string;
  hash: Buffer;
  debit: number;
  credit: number;
  amount_minor: number;
  kind: TransferKind;
  reference: string;
  created_at_ms: number;
}
const insert = hot((p: Params<Row>) =>
  db
    .insertInto('transfer')
    .values({
      id: p('id'),
      hash: p('hash'),
      debit: p('debit'),
      credit: p('credit'),
      amount_minor: p('amount_minor'),
      kind: p('kind'),
      reference: p('reference'),
      created_at_ms: p('created_at_ms'),
    })
    .onConflict((conflict) => conflict.column('id').doNothing()),
);

const COLUMNS = {
  id: 'text',
  hash: 'bytes',
  debit: 'integer',
  credit: 'integer',
  amount_minor: 'integer',
  kind: 'text',
  reference: 'text',
  created_at_ms: 'integer',
} as const;
const insertAll = hot((p: Params<{ rows: string }>) =>
  insertRows(db.insertInto('transfer'), COLUMNS, p('rows')).onConflict((conflict) =>
    conflict.column('id').doNothing(),
  ),
);

export const findTransfer = (reader: Reader, id: string) => reader.get(find, { id });

export interface Transfer {
  id: string;
  kind: TransferKind;
  reference: string;
  from: AccountRef;
  to: AccountRef;
  amount_minor: number;
  now_ms: number;
}

const rowOf = ({ id, kind, reference, from, to, amount_minor, now_ms }: Transfer): Row => {
  const content = { id, from: from.address, to: to.address, amount_minor, kind, reference };
  const leaf = transferHash({ ...content, timestamp_ms: now_ms });
  return {
    id,
    hash: leaf,
    debit: from.id,
    credit: to.id,
    amount_minor,
    kind,
    reference,
    created_at_ms: now_ms,
  };
};

/**
 * Moves money, once: the same id again changes nothing. Balances follow by trigger.
 * @returns the transaction's hash, in hex
 * @throws when the id stands for another movement, or a rule of the ledger forbids it
 */
export const move = async (trx: Trx, transfer: Transfer): Promise<string> => {
  const row = rowOf(transfer);
  const { id } = row;
  if ((await trx.run(insert, row)) === 1) return row.hash.toString('hex');
  const found = await findTransfer(trx, id);
  const isSame =
    found?.debit === row.debit &&
    found.credit === row.credit &&
    found.amount_minor === row.amount_minor &&
    found.kind === row.kind &&
    found.reference === row.reference;
  if (!isSame) throw new Error(`transfer ${id} exists with another content`);
  return found.hash.toString('hex');
};

/** {@link move}s several, in their order, by one statement. */
export const moveAll = async (trx: Trx, transfers: readonly Transfer[]): Promise<void> => {
  if (transfers.length === 0) return;
  const rows = rowsJson(COLUMNS, transfers.map(rowOf));
  if ((await trx.run(insertAll, { rows })) === transfers.length) return;
  // One is there already: each is compared with what stands.
  for (const transfer of transfers) await move(trx, transfer);
};
