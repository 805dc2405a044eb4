import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

const byAddress = hot((p: Params<{ address: string }>) =>
  db.selectFrom('account').select(['id', 'address', 'account_id']).where('address', '=', p('address')),
);
/** Whose address it is: also of accounts that belong to nobody. */
export const findByAddress = (reader: Reader, address: string) => reader.get(byAddress, { address });

export const keepMemo = (trx: Trx, reference: string, memo: string) =>
  trx.run(db.insertInto('transfer_memo').values({ reference, memo }));

const moved = hot((p: Params<{ credential_id: string }>) =>
  db.selectFrom('credential_transfer').selectAll().where('credential_id', '=', p('credential_id')),
);
/** What a credential gave away, on which day. */
export const movedBy = (reader: Reader, credentialId: string) =>
  reader.get(moved, { credential_id: credentialId });
export const noteMoved = (trx: Trx, row: Tables['credential_transfer']) =>
  trx.run(
    db
      .insertInto('credential_transfer')
      .values(row)
      .onConflict((conflict) =>
        conflict.column('credential_id').doUpdateSet({ day: row.day, moved_minor: row.moved_minor }),
      ),
  );
