import { hash } from 'node:crypto';
import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { type TransferKind, transferHash } from '@aitbc/contracts';
import type { Tables } from '../tables.ts';
import type { AccountRef } from './accounts.ts';

const db = builder<Tables>();

/** The id of the one transfer of this kind for this reference: a UUIDv8 (RFC 9562) from SHA-256, so a retry finds it. */
export const transferId = (kind: TransferKind, reference: string): string => {
  const digest = hash('sha256', `aitbc-transfer-id-v1\n${kind}\n${reference}`, 'buffer').subarray(0, 16);
  digest[6] = ((digest[6] as number) & 0x0f) | 0x80;
  digest[8] = ((digest[8] as number) & 0x3f) | 0x80;
  const hex = digest.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
};

const find = hot((p: Params<{ id: string }>) =>
  db.selectFrom('transfer').selectAll().where('id', '=', p('id')),
);
const insert = hot(
  (
    p: Params<{
      id: string;
      hash: Buffer;
      debit: number;
      credit: number;
      amount_minor: number;
      kind: TransferKind;
      reference: string;
      created_at_ms: number;
    }>,
  ) =>
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

export const findTransfer = (reader: Reader, id: string) => reader.get(find, { id });

/**
 * Moves money, once: the same id again changes nothing. Balances follow by trigger.
 * @returns the transaction's hash, in hex
 * @throws when the id stands for another movement, or a rule of the ledger forbids it
 */
export const move = async (
  trx: Trx,
  transfer: {
    id: string;
    kind: TransferKind;
    reference: string;
    from: AccountRef;
    to: AccountRef;
    amount_minor: number;
    now_ms: number;
  },
): Promise<string> => {
  const { id, kind, reference, from, to, amount_minor, now_ms } = transfer;
  const content = { id, from: from.address, to: to.address, amount_minor, kind, reference };
  const leaf = transferHash({ ...content, timestamp_ms: now_ms });
  const row = { id, hash: leaf, debit: from.id, credit: to.id, amount_minor, kind, reference };
  if ((await trx.run(insert, { ...row, created_at_ms: now_ms })) === 1) return leaf.toString('hex');
  const found = await findTransfer(trx, id);
  const isSame =
    found?.debit === from.id &&
    found.credit === to.id &&
    found.amount_minor === amount_minor &&
    found.kind === kind &&
    found.reference === reference;
  if (!isSame) throw new Error(`transfer ${id} exists with another content`);
  return found.hash.toString('hex');
};
