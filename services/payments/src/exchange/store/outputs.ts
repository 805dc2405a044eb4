import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { Selectable } from 'kysely';
import type { KnownState } from '../domain/output.ts';
import type { Tables } from '../tables.ts';
import type { BlockRef } from '../watchers/watcher.ts';

const db = builder<Tables>();

export type Output = Selectable<Tables['exchange_output']>;

const one = hot((p: Params<{ txid: string; vout: number }>) =>
  db.selectFrom('exchange_output').selectAll().where('txid', '=', p('txid')).where('vout', '=', p('vout')),
);
const ofInvoice = hot((p: Params<{ invoice_id: string }>) =>
  db
    .selectFrom('exchange_output')
    .selectAll()
    .where('invoice_id', '=', p('invoice_id'))
    .orderBy('first_seen_ms')
    .orderBy('txid')
    .orderBy('vout'),
);
const above = hot((p: Params<{ height: number | null }>) =>
  db.selectFrom('exchange_output').selectAll().where('block_height', '>', p('height')),
);
const unconfirmed = hot(() =>
  db.selectFrom('exchange_output').selectAll().where('state', 'in', ['mempool', 'reorged']),
);

export const findOutput = (reader: Reader, txid: string, vout: number): Promise<Output | undefined> =>
  reader.get(one, { txid, vout });
export const outputsOf = (reader: Reader, invoiceId: string): Promise<Output[]> =>
  reader.all(ofInvoice, { invoice_id: invoiceId });
export const outputsAbove = (reader: Reader, height: number): Promise<Output[]> =>
  reader.all(above, { height });
/** Every output that a mempool should hold. */
export const unconfirmedOutputs = (reader: Reader): Promise<Output[]> => reader.all(unconfirmed, {});

export const addOutput = async (
  trx: Trx,
  output: {
    txid: string;
    vout: number;
    invoice_id: string | null;
    script: string;
    value_sats: number;
    first_seen_ms: number;
    state: KnownState;
    block: BlockRef | null;
  },
): Promise<void> => {
  const { block, ...row } = output;
  await trx.run(
    db.insertInto('exchange_output').values({
      ...row,
      block_height: block?.height ?? null,
      block_hash: block?.hash ?? null,
    }),
  );
};

/** Compare-and-set: moves an output on from the state it was read in. */
export const moveOutput = (
  trx: Trx,
  output: Pick<Output, 'txid' | 'vout' | 'state'>,
  state: KnownState,
  block: BlockRef | null,
  firstSeenMs: number,
): Promise<number> =>
  trx.run(
    db
      .updateTable('exchange_output')
      .set({
        state,
        block_height: block?.height ?? null,
        block_hash: block?.hash ?? null,
        first_seen_ms: firstSeenMs,
      })
      .where('txid', '=', output.txid)
      .where('vout', '=', output.vout)
      .where('state', '=', output.state),
  );

export const assignOutput = (
  trx: Trx,
  output: Pick<Output, 'txid' | 'vout'>,
  changes: { invoice_id: string } | { is_credited: 1 },
): Promise<number> =>
  trx.run(
    db
      .updateTable('exchange_output')
      .set(changes)
      .where('txid', '=', output.txid)
      .where('vout', '=', output.vout)
      .where('is_credited', '=', 0),
  );

/** What came to a shared address in an amount that nobody was asked for. */
export const unclaimedSats = async (reader: Reader): Promise<number> =>
  Number(
    (
      await reader.get(
        db
          .selectFrom('exchange_output')
          .select((eb) => eb.fn.sum('value_sats').as('sats'))
          .where('invoice_id', 'is', null)
          .where('state', '=', 'confirmed'),
      )
    )?.sats ?? 0,
  );
