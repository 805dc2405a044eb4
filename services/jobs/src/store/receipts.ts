import { builder, hot, insertMany, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { makeSigningKey, type Signer } from '../receipts.ts';
import type { ReceiptRow, Tables } from '../tables.ts';
import { GATHERED_TEXT_MAX, resultText } from './jobs.ts';

const db = builder<Tables>();

// A commit's are written together.
const insertReceipts = insertMany<ReceiptRow>('receipt', [
  'job_seq',
  'id',
  'proof',
  'created_at_ms',
  'result',
]);
const insertResults = insertMany<Pick<Tables['job_result'], 'job_seq' | 'result'>>('job_result', [
  'job_seq',
  'result',
]);
/** With its result, which stands apart. */
export const insertReceipt = async (trx: Trx, { result, ...row }: ReceiptRow): Promise<void> => {
  const apart = { job_seq: row.job_seq, result };
  if (result.length > GATHERED_TEXT_MAX) await insertResults(trx, [apart]);
  else trx.gather(insertResults, apart);
  trx.gather(insertReceipts, { ...row, result: '' });
};

const ofJob = hot((p: Params<{ job_seq: number }>) =>
  db
    .selectFrom('receipt')
    .leftJoin('job_result', 'job_result.job_seq', 'receipt.job_seq')
    .select(['receipt.job_seq', 'receipt.id', 'proof', 'created_at_ms', resultText])
    .where('receipt.job_seq', '=', p('job_seq')),
);
export const receiptOf = (reader: Reader, jobSeq: number): Promise<ReceiptRow | undefined> =>
  reader.get(ofJob, { job_seq: jobSeq });

const proofById = hot((p: Params<{ id: string }>) =>
  db
    .selectFrom('receipt')
    .select('proof')
    .where('id', '=', p('id'))
    .unionAll(db.selectFrom('kept_receipt').select('proof').where('id', '=', p('id'))),
);
export const proofOf = async (reader: Reader, id: string): Promise<string | undefined> =>
  (await reader.get(proofById, { id }))?.proof;

const listOfTable = (table: 'receipt' | 'kept_receipt', before: string | undefined, limit: number) => {
  const query = db
    .selectFrom(table)
    .select(['id', 'proof', 'created_at_ms'])
    .orderBy('id', 'desc')
    .limit(limit);
  return before === undefined ? query : query.where('id', '<', before);
};
/** Newest first, without results: also of jobs whose rows are gone. */
export const listReceipts = async (
  reader: Reader,
  before: string | undefined,
  limit: number,
): Promise<Pick<ReceiptRow, 'id' | 'proof' | 'created_at_ms'>[]> => {
  const found = await reader.all(listOfTable('receipt', before, limit));
  // The older ones, nearly always.
  const kept = await reader.all(listOfTable('kept_receipt', before, limit));
  // One that went from there to here between the two looks is in both.
  const byId = new Map([...found, ...kept].map((row) => [row.id, row]));
  return [...byId.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, limit);
};

/** Every key that signed here, newest first. */
export const receiptKeys = (reader: Reader): Promise<Tables['receipt_key'][]> =>
  reader.all(db.selectFrom('receipt_key').selectAll().orderBy('created_at_ms', 'desc'));

/** The public half stays in the JWKS for good: receipts outlive their key. */
export const rememberKey = async (trx: Trx, signer: Signer, nowMs: number): Promise<void> => {
  await trx.run(
    db
      .insertInto('receipt_key')
      .values({ kid: signer.jwk.kid, x: signer.jwk.x, private_key: null, created_at_ms: nowMs })
      .onConflict((conflict) => conflict.doNothing()),
  );
};

/** For development, where nobody gave a key: one made here and kept here. */
export const ownSigningKey = async (
  trx: Trx,
  sign: (privateKey: string) => Signer,
  nowMs: number,
): Promise<string> => {
  const kept = (
    await trx.get(db.selectFrom('receipt_key').select('private_key').where('private_key', 'is not', null))
  )?.private_key;
  if (kept != null) return kept;
  const made = makeSigningKey();
  const { jwk } = sign(made);
  await trx.run(
    db
      .insertInto('receipt_key')
      .values({ kid: jwk.kid, x: jwk.x, private_key: made, created_at_ms: nowMs })
      .onConflict((conflict) => conflict.doNothing()),
  );
  return made;
};
