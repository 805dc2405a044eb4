import type { Handlers } from '@aitbc/chassis';
import type { jobsRoutes } from '@aitbc/contracts';
import { readCursor, writeCursor } from '../cursor.ts';
import { verifyProof } from '../receipts.ts';
import { listReceiptsQuery } from '../store/receipts.ts';
import { toPublicReceipt } from '../views.ts';
import type { Work } from '../work.ts';

type ReceiptRoutes = Pick<typeof jobsRoutes, 'publicReceipts' | 'verifyReceipt' | 'jwks'>;

export const receiptHandlers = (work: Work): Handlers<ReceiptRoutes> => ({
  publicReceipts: async (context) => {
    const { limit, cursor } = context.query;
    const rows = await work.store.read.all(listReceiptsQuery(readCursor(cursor), limit + 1));
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
  verifyReceipt: async (context) => ({
    status: 200,
    body: verifyProof(context.body.proof, await work.keyring.jwks()),
  }),
  jwks: async () => ({ status: 200, body: { keys: await work.keyring.jwks() } }),
});
