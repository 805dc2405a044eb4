import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { MinerOffer, Tables } from '../tables.ts';

const db = builder<Tables>();

const save = hot((p: Params<Tables['miner']>) =>
  db
    .insertInto('miner')
    .values({
      id: p('id'),
      account_id: p('account_id'),
      revision: p('revision'),
      status: p('status'),
      concurrency: p('concurrency'),
      offer: p('offer'),
    })
    .onConflict((conflict) =>
      conflict
        .column('id')
        .doUpdateSet({
          account_id: p('account_id'),
          revision: p('revision'),
          status: p('status'),
          concurrency: p('concurrency'),
          offer: p('offer'),
        })
        .where('miner.revision', '<', p('revision')),
    ),
);
/** @returns false when a newer revision is known already. */
export const saveMiner = async (trx: Trx, offer: MinerOffer): Promise<boolean> =>
  (await trx.run(save, {
    id: offer.miner_id,
    account_id: offer.account_id,
    revision: offer.revision,
    status: offer.status,
    concurrency: offer.concurrency,
    offer: JSON.stringify(offer),
  })) === 1;

const byId = hot((p: Params<{ id: string }>) =>
  db
    .selectFrom('miner')
    .select(['account_id', 'status', 'concurrency', 'revision'])
    .where('id', '=', p('id')),
);
export const findMiner = (
  reader: Reader,
  id: string,
): Promise<Pick<Tables['miner'], 'account_id' | 'status' | 'concurrency' | 'revision'> | undefined> =>
  reader.get(byId, { id });

/** What every miner was last described as, by number: a copy finds out what it lacks. */
export const minerRevisions = (reader: Reader): Promise<Pick<Tables['miner'], 'id' | 'revision'>[]> =>
  reader.all(db.selectFrom('miner').select(['id', 'revision']));

export const readOffers = async (reader: Reader, ids: readonly string[]): Promise<MinerOffer[]> =>
  (await reader.all(db.selectFrom('miner').select('offer').where('id', 'in', ids))).map(
    (row) => JSON.parse(row.offer) as MinerOffer,
  );

/** The whole of it, of a miner that is known. */
export const readOffer = async (reader: Reader, id: string): Promise<MinerOffer> => {
  const row = await reader.get(db.selectFrom('miner').select('offer').where('id', '=', id));
  return JSON.parse((row as { offer: string }).offer) as MinerOffer;
};

export const allMiners = async (reader: Reader): Promise<MinerOffer[]> =>
  (await reader.all(db.selectFrom('miner').select('offer'))).map(
    (row) => JSON.parse(row.offer) as MinerOffer,
  );
