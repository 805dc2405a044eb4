import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { FIRST_BLOCK_HEIGHT, type Payload } from '@aitbc/contracts';
import { sql } from 'kysely';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

const insertPart = hot((p: Params<{ height: number; part: number }>) =>
  db
    .insertInto('block_part')
    .values({ height: p('height'), part: p('part') })
    .onConflict((conflict) => conflict.doNothing()),
);
const insertCheckpoint = hot((p: Params<{ account_id: string; height: number; balance_minor: number }>) =>
  db
    .insertInto('checkpoint')
    .values({ account_id: p('account_id'), height: p('height'), balance_minor: p('balance_minor') }),
);
const findBlock = hot((p: Params<{ height: number }>) =>
  db.selectFrom('block').selectAll().where('height', '=', p('height')),
);
const findBalance = hot((p: Params<{ account_id: string; height: number }>) =>
  db
    .selectFrom('checkpoint')
    .select('balance_minor')
    .where('account_id', '=', p('account_id'))
    .where('height', '<=', p('height'))
    .orderBy('height', 'desc')
    .limit(1),
);
/** How much more, or less, all voters hold after this block than before it. */
const findGrowth = hot((p: Params<{ height: number }>) =>
  db
    .selectFrom('checkpoint as now')
    .where('now.height', '=', p('height'))
    .select((eb) =>
      sql<number>`coalesce(sum(${eb.ref('now.balance_minor')} - coalesce(${eb
        .selectFrom('checkpoint as before')
        .whereRef('before.account_id', '=', 'now.account_id')
        .whereRef('before.height', '<', 'now.height')
        .orderBy('before.height', 'desc')
        .limit(1)
        .select('before.balance_minor')}, 0)), 0)`.as('growth_minor'),
    ),
);

/**
 * Behind the newest snapshot, power at every height is known; who reads a snapshot and then a balance has the time of so many
 * blocks for it. Further back only what a proposal asks for is kept.
 */
export const KEPT_BLOCKS = 100;
/** The balances that those of this block followed, but for those that were held when a proposal was made. */
const thin = hot((p: Params<{ height: number }>) =>
  db
    .deleteFrom('checkpoint')
    .where((eb) =>
      eb(
        eb.refTuple('account_id', 'height'),
        'in',
        eb
          .selectFrom('checkpoint as next')
          .where('next.height', '=', p('height'))
          .select(({ selectFrom }) => [
            'next.account_id',
            selectFrom('checkpoint as before')
              .whereRef('before.account_id', '=', 'next.account_id')
              .whereRef('before.height', '<', 'next.height')
              .select(({ fn }) => fn.max('before.height').as('height'))
              .$asScalar()
              .$notNull()
              .as('height'),
          ])
          .$asTuple('account_id', 'height'),
      ),
    )
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('proposal')
            .select('proposal.id')
            .whereRef('proposal.snapshot_height', '>=', 'checkpoint.height')
            .where('proposal.snapshot_height', '<', p('height')),
        ),
      ),
    ),
);

/** The newest block that may be a snapshot: it and all before it came whole. */
export interface Snapshot {
  readonly height: number;
  readonly sealed_at_ms: number;
  readonly voting_supply_minor: number;
  readonly treasury_minor: number;
}

const asSnapshot = (row: Tables['block'] | undefined): Snapshot | undefined =>
  row === undefined || row.voting_supply_minor === null
    ? undefined
    : { ...row, voting_supply_minor: row.voting_supply_minor };

export const latestSnapshot = async (reader: Reader): Promise<Snapshot | undefined> =>
  asSnapshot(
    await reader.get(
      db.selectFrom('block').selectAll().where('is_linked', '=', 1).orderBy('height', 'desc').limit(1),
    ),
  );

export const snapshotAt = async (reader: Reader, height: number): Promise<Snapshot | undefined> =>
  asSnapshot(await reader.get(findBlock, { height }));

/** What the account held at `height`. Sure only for one of the newest snapshots, and for that of a proposal. */
export const powerAt = async (reader: Reader, accountId: string, height: number): Promise<number> =>
  (await reader.get(findBalance, { account_id: accountId, height }))?.balance_minor ?? 0;

/** The newest height heard of, whole or not: further ahead than the newest snapshot only while parts are missing. */
export const highestHeard = async (reader: Reader): Promise<number | null> =>
  (await reader.get(db.selectFrom('block').select((eb) => eb.fn.max('height').as('height'))))?.height ?? null;

/** The lowest height that is not whole while a later one was heard of; null without such a gap. */
export const missingFrom = async (reader: Reader): Promise<number | null> => {
  const next = ((await latestSnapshot(reader))?.height ?? FIRST_BLOCK_HEIGHT - 1) + 1;
  return next <= ((await highestHeard(reader)) ?? -1) ? next : null;
};

/**
 * Notes a part of a sealed block, and lets every block join the run of snapshots that now can.
 * @throws when the part contradicts what was said of the same block.
 */
export const notePart = async (trx: Trx, part: Payload<'payments.block_sealed'>): Promise<void> => {
  const { height } = part;
  const said = {
    parts: part.parts,
    sealed_at_ms: part.sealed_at_ms,
    supply_minor: part.supply_minor,
    treasury_minor: part.treasury_minor,
  };
  await trx.run(
    db
      .insertInto('block')
      .values({ height, ...said, parts_received: 0, is_linked: 0, voting_supply_minor: null })
      .onConflict((conflict) => conflict.doNothing()),
  );
  const block = await trx.get(findBlock, { height });
  const differs = Object.entries(said).some(([key, value]) => block?.[key as keyof typeof said] !== value);
  if (differs || part.part >= part.parts) throw new Error(`block ${height}: its parts contradict each other`);

  if ((await trx.run(insertPart, { height, part: part.part })) === 0) return;
  for (const balance of part.balances) await trx.run(insertCheckpoint, { ...balance, height });
  await trx.run(
    db
      .updateTable('block')
      .set((eb) => ({ parts_received: eb('parts_received', '+', 1) }))
      .where('height', '=', height),
  );
  await link(trx, height);
};

/** Links `height` and those after it, as far as they are whole and the run reaches. */
const link = async (trx: Trx, from: number): Promise<void> => {
  const before = from === FIRST_BLOCK_HEIGHT ? 0 : (await snapshotAt(trx, from - 1))?.voting_supply_minor;
  if (before === undefined) return;
  let supply = before;
  for (let height = from; ; height += 1) {
    const block = await trx.get(findBlock, { height });
    if (block === undefined || block.parts_received < block.parts) return;
    supply += (await trx.get(findGrowth, { height }))?.growth_minor ?? 0;
    await trx.run(
      db.updateTable('block').set({ is_linked: 1, voting_supply_minor: supply }).where('height', '=', height),
    );
    await trx.run(thin, { height: height - KEPT_BLOCKS });
  }
};
