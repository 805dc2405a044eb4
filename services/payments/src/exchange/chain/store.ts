import { builder, type Reader, type Trx } from '@aitbc/chassis';
import type { Compilable } from 'kysely';
import type { Tables } from '../tables.ts';
import { parseTransaction, type Tx } from './transactions.ts';

const db = builder<Tables>();

export interface StoredTx {
  readonly tx: Tx;
  readonly fee_sats: number;
  /** Null while it waits in the mempool. */
  readonly height: number | null;
}

interface TxRow {
  raw: Buffer;
  fee_sats: number;
  height: number | null;
}

const stored = ({ raw, fee_sats, height }: TxRow): StoredTx => ({
  tx: parseTransaction(raw),
  fee_sats,
  height,
});

export const findTip = (reader: Reader) =>
  reader.get(db.selectFrom('local_block').selectAll().orderBy('height', 'desc').limit(1));
export const findBlock = (reader: Reader, height: number) =>
  reader.get(db.selectFrom('local_block').selectAll().where('height', '=', height));
export const findBlockByHash = (reader: Reader, hash: string) =>
  reader.get(db.selectFrom('local_block').selectAll().where('hash', '=', hash));

export const blockTransactions = async (reader: Reader, height: number): Promise<StoredTx[]> =>
  (
    await reader.all(
      db
        .selectFrom('local_transaction')
        .select(['raw', 'fee_sats', 'height'])
        .where('height', '=', height)
        .orderBy('position'),
    )
  ).map(stored);

/** Parents before children. */
export const mempool = async (reader: Reader): Promise<StoredTx[]> =>
  (
    await reader.all(
      db
        .selectFrom('local_transaction')
        .select(['raw', 'fee_sats', 'height'])
        .where('height', 'is', null)
        .orderBy('position'),
    )
  ).map(stored);
export const mempoolTxids = async (reader: Reader): Promise<string[]> =>
  (
    await reader.all(
      db.selectFrom('local_transaction').select('txid').where('height', 'is', null).orderBy('position'),
    )
  ).map((row) => row.txid);

export const findTransaction = async (reader: Reader, txid: string): Promise<StoredTx | undefined> => {
  const row = await reader.get(
    db.selectFrom('local_transaction').select(['raw', 'fee_sats', 'height']).where('txid', '=', txid),
  );
  return row === undefined ? undefined : stored(row);
};

export const findOutput = (reader: Reader, txid: string, vout: number) =>
  reader.get(
    db
      .selectFrom('local_output')
      .innerJoin('local_transaction', 'local_transaction.txid', 'local_output.txid')
      .select(['script', 'value_sats', 'spent_by', 'height', 'position'])
      .where('local_output.txid', '=', txid)
      .where('vout', '=', vout),
  );

/** Unspent outputs of a script, the largest first. */
export const unspentOf = (reader: Reader, script: string) =>
  reader.all(
    db
      .selectFrom('local_output')
      .innerJoin('local_transaction', 'local_transaction.txid', 'local_output.txid')
      .select(['local_output.txid', 'vout', 'value_sats', 'height', 'position'])
      .where('script', '=', script)
      .where('spent_by', 'is', null)
      .orderBy('value_sats', 'desc')
      .orderBy('local_output.txid')
      .limit(500),
  );

/** Transactions that pay to a script or spend from it: the mempool's first, then the newest blocks first. */
export const transactionsOf = async (reader: Reader, script: string): Promise<StoredTx[]> => {
  const rows = await reader.all(
    db.selectFrom('local_output').select(['txid', 'spent_by']).where('script', '=', script),
  );
  const txids = new Set(
    rows.flatMap(({ txid, spent_by }) => (spent_by === null ? [txid] : [txid, spent_by])),
  );
  const depth = (each: StoredTx): number => each.height ?? Number.MAX_SAFE_INTEGER;
  const found: StoredTx[] = [];
  for (const txid of txids) found.push((await findTransaction(reader, txid)) as StoredTx);
  return found.sort((a, b) => depth(b) - depth(a) || a.tx.txid.localeCompare(b.tx.txid));
};

export const addTransaction = async (
  trx: Trx,
  tx: Tx,
  feeSats: number,
  height: number | null,
  position: number,
): Promise<void> => {
  // In this order, and without waiting for each other's way to the database.
  const statements: Compilable<unknown>[] = [
    db
      .insertInto('local_transaction')
      .values({ txid: tx.txid, raw: tx.raw, fee_sats: feeSats, height, position }),
  ];
  for (const [vout, output] of tx.outputs.entries())
    statements.push(db.insertInto('local_output').values({ txid: tx.txid, vout, ...output, spent_by: null }));
  for (const input of tx.is_coinbase ? [] : tx.inputs)
    statements.push(
      db
        .updateTable('local_output')
        .set({ spent_by: tx.txid })
        .where('txid', '=', input.txid)
        .where('vout', '=', input.vout),
    );
  await Promise.all(statements.map((each) => trx.run(each)));
};

export const nextMempoolPosition = async (reader: Reader): Promise<number> =>
  ((
    await reader.get(
      db
        .selectFrom('local_transaction')
        .select('position')
        .where('height', 'is', null)
        .orderBy('position', 'desc')
        .limit(1),
    )
  )?.position ?? 0) + 1;

export const placeTransaction = async (
  trx: Trx,
  txid: string,
  height: number | null,
  position: number,
): Promise<void> => {
  await trx.run(db.updateTable('local_transaction').set({ height, position }).where('txid', '=', txid));
};

/** Makes room at the front of the mempool for what comes back out of a block. */
export const shiftMempool = async (trx: Trx, by: number): Promise<void> => {
  await trx.run(
    db
      .updateTable('local_transaction')
      .set((eb) => ({ position: eb('position', '+', by) }))
      .where('height', 'is', null),
  );
};

/** A transaction and all that spend from it, parents first. */
export const withDescendants = async (reader: Reader, txid: string): Promise<string[]> => {
  const found = new Set([txid]);
  for (const each of found) {
    const children = await reader.all(
      db
        .selectFrom('local_output')
        .select('spent_by')
        .where('txid', '=', each)
        .where('spent_by', 'is not', null),
    );
    for (const { spent_by } of children) if (spent_by !== null) found.add(spent_by);
  }
  return [...found];
};

/** Removes transactions; what they spent is unspent again. */
export const dropTransactions = async (trx: Trx, txids: readonly string[]): Promise<void> => {
  for (const txid of [...txids].reverse())
    await trx.run(db.deleteFrom('local_transaction').where('txid', '=', txid));
};

export const addBlock = async (
  trx: Trx,
  block: { height: number; hash: string; header: Buffer; time_s: number },
): Promise<void> => {
  await trx.run(db.insertInto('local_block').values(block));
};
export const dropBlock = async (trx: Trx, height: number): Promise<void> => {
  await trx.run(db.deleteFrom('local_block').where('height', '=', height));
};
