import type { Reader } from '@aitbc/chassis';
import {
  createChainChecker,
  merkleLevels,
  merklePath,
  type SealedTransfer,
  transferHash,
} from '@aitbc/contracts';
import { auditAccounts } from './audit.ts';
import { publishedKeys } from './signing.ts';
import { EVERYTHING, listBlocks, listTransfers } from './store/explorer.ts';

const PAGE = 500;

type TransferRow = Awaited<ReturnType<typeof listTransfers>>[number];
const toSealed = (row: TransferRow, block_height: number): Omit<SealedTransfer, 'proof'> => ({
  id: row.id,
  hash: row.hash.toString('hex'),
  from: row.from_address,
  to: row.to_address,
  amount_minor: row.amount_minor,
  kind: row.kind,
  reference: row.reference,
  timestamp_ms: row.created_at_ms,
  block_height,
});

export interface LedgerProof {
  readonly blocks: number;
  readonly transfers: number;
  readonly accounts: 'agree' | 'do not agree';
  /** The first thing that is not as it must be. */
  readonly wrong: string | null;
}

/**
 * Proves the ledger of a file at rest from its first block on: every hash, signature and link, every balance by replay; and
 * that each account agrees with its transfers.
 */
export const proveLedger = async (reader: Reader): Promise<LedgerProof> => {
  const checker = createChainChecker(await publishedKeys(reader));
  let [blocks, transfers, height] = [0, 0, EVERYTHING.after];
  const proof = (wrong: string | null, accounts: LedgerProof['accounts'] = 'agree'): LedgerProof => ({
    blocks,
    transfers,
    accounts,
    wrong,
  });
  for (;;) {
    const page = await listBlocks(reader, { ...EVERYTHING, after: height, limit: PAGE }, 'asc');
    for (const block of page) {
      const range = { after: block.first_seq - 1, before: block.last_seq + 1, limit: block.tx_count + 1 };
      const sealed = (await listTransfers(reader, range, 'asc')).map((row) => toSealed(row, block.height));
      const levels = merkleLevels(sealed.map((transfer) => transferHash(transfer)));
      const wrong = checker.check(
        { ...block, timestamp_ms: block.sealed_at_ms },
        sealed.map((transfer, index) => ({
          ...transfer,
          proof: { index, path: merklePath(levels, index).map((hash) => hash.toString('hex')) },
        })),
      );
      if (wrong !== null) return proof(`block ${block.height} ${wrong}`);
      blocks += 1;
      transfers += sealed.length;
      height = block.height;
    }
    if (page.length < PAGE) break;
  }
  let after = 0;
  do {
    const found = await auditAccounts(reader, after);
    if (found.wrong.length > 0)
      return proof(`the balance of ${found.wrong[0]} does not agree with its transfers`, 'do not agree');
    after = found.next;
  } while (after !== 0);
  return proof(null);
};
