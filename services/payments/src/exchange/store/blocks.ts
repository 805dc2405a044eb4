import { builder, type Reader, type Trx } from '@aitbc/chassis';
import type { Tables } from '../tables.ts';
import type { BlockRef } from '../watchers/watcher.ts';

const db = builder<Tables>();

/** Hashes kept below the cursor. No reorganisation of a live chain reaches so far (a week of blocks). */
const KEPT = 1_000;

export const readCursor = async (reader: Reader): Promise<BlockRef | null> =>
  (await reader.get(db.selectFrom('exchange_cursor').select(['height', 'hash']))) ?? null;

export const hashAt = async (reader: Reader, height: number): Promise<string | undefined> =>
  (await reader.get(db.selectFrom('exchange_block').select('hash').where('height', '=', height)))?.hash;

/** Moves the cursor from `base` to `tip`. @returns false when it stands elsewhere: the look is of no use then. */
export const moveCursor = async (trx: Trx, base: BlockRef | null, tip: BlockRef): Promise<boolean> => {
  const row = { height: tip.height, hash: tip.hash };
  if (base === null)
    return (
      (await trx.run(
        db
          .insertInto('exchange_cursor')
          .values({ id: 1, ...row })
          .onConflict((conflict) => conflict.column('id').doNothing()),
      )) === 1
    );
  return (
    (await trx.run(
      db
        .updateTable('exchange_cursor')
        .set(row)
        .where('height', '=', base.height)
        .where('hash', '=', base.hash),
    )) === 1
  );
};

/** Forgets what lies above the fork, keeps the new blocks, and lets old hashes go. */
export const noteBlocks = async (
  trx: Trx,
  forkHeight: number | null,
  blocks: readonly BlockRef[],
  tip: BlockRef,
): Promise<void> => {
  const from = Math.min(forkHeight ?? tip.height, ...blocks.map((block) => block.height - 1));
  await trx.run(db.deleteFrom('exchange_block').where('height', '>', from));
  for (const { height, hash } of blocks)
    await trx.run(
      db
        .insertInto('exchange_block')
        .values({ height, hash })
        .onConflict((conflict) => conflict.column('height').doUpdateSet({ hash })),
    );
  await trx.run(db.deleteFrom('exchange_block').where('height', '<', tip.height - KEPT));
};
