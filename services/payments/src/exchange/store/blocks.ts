import { builder, type Reader, type Trx } from '@aitbc/chassis';
import type { Tables } from '../tables.ts';
import type { BlockRef } from '../watchers/watcher.ts';

const db = builder<Tables>();

/** Hashes kept below the cursor. No reorganisation of a live chain reaches so far (a week of blocks). */
const KEPT = 1_000;

export const readCursor = (reader: Reader): BlockRef | null =>
  reader.get(db.selectFrom('exchange_cursor').select(['height', 'hash'])) ?? null;

export const hashAt = (reader: Reader, height: number): string | undefined =>
  reader.get(db.selectFrom('exchange_block').select('hash').where('height', '=', height))?.hash;

/** Moves the cursor from `base` to `tip`. @returns false when it stands elsewhere: the look is of no use then. */
export const moveCursor = (trx: Trx, base: BlockRef | null, tip: BlockRef): boolean => {
  const row = { height: tip.height, hash: tip.hash };
  if (base === null)
    return (
      trx.run(
        db
          .insertInto('exchange_cursor')
          .values({ id: 1, ...row })
          .onConflict((conflict) => conflict.column('id').doNothing()),
      ) === 1
    );
  return (
    trx.run(
      db
        .updateTable('exchange_cursor')
        .set(row)
        .where('height', '=', base.height)
        .where('hash', '=', base.hash),
    ) === 1
  );
};

/** Forgets what lies above the fork, keeps the new blocks, and lets old hashes go. */
export const noteBlocks = (
  trx: Trx,
  forkHeight: number | null,
  blocks: readonly BlockRef[],
  tip: BlockRef,
): void => {
  const from = Math.min(forkHeight ?? tip.height, ...blocks.map((block) => block.height - 1));
  trx.run(db.deleteFrom('exchange_block').where('height', '>', from));
  for (const { height, hash } of blocks)
    trx.run(
      db
        .insertInto('exchange_block')
        .values({ height, hash })
        .onConflict((conflict) => conflict.column('height').doUpdateSet({ hash })),
    );
  trx.run(db.deleteFrom('exchange_block').where('height', '<', tip.height - KEPT));
};
