import type { Handlers } from '@aitbc/chassis';
import type { jobsRoutes } from '@aitbc/contracts';
import { readCursor, writeCursor } from '../cursor.ts';
import { verifyLegacy } from '../legacy/receipt.ts';
import { verifyProof } from '../receipts.ts';
import { findJob } from '../store/jobs.ts';
import { keptReceiptOf } from '../store/purge.ts';
import { listReceipts, receiptOf } from '../store/receipts.ts';
import { toPublicReceipt } from '../views.ts';
import type { Work } from '../work.ts';

type ReceiptRoutes = Pick<typeof jobsRoutes, 'publicReceipts' | 'verifyReceipt' | 'jwks'>;

export const receiptHandlers = (work: Work): Handlers<ReceiptRoutes> => ({
  publicReceipts: async (context) => {
    const { limit, cursor, job_id: jobId } = context.query;
    if (jobId !== undefined) {
      const job = await findJob(work.store.read, jobId);
      const row =
        job === undefined
          ? await keptReceiptOf(work.store.read, jobId)
          : await receiptOf(work.store.read, job.seq);
      return {
        status: 200,
        body: { items: row === undefined ? [] : [toPublicReceipt(row)], next_cursor: null },
      };
    }
    const rows = await listReceipts(work.store.read, readCursor(cursor), limit + 1);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    return {
      status: 200,
      body: {
        items: page.map(toPublicReceipt),
        next_cursor: rows.length > limit && last !== undefined ? writeCursor(last.id) : null,
      },
    };
  },
  verifyReceipt: async (context) => {
    const { proof } = context.body;
    const body = proof.startsWith('{')
      ? await verifyLegacy(work, proof)
      : verifyProof(proof, await work.keyring.jwks());
    return { status: 200, body };
  },
  jwks: async () => ({ status: 200, body: { keys: await work.keyring.jwks() } }),
});
