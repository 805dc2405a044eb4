import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { Requirement } from '../dispatcher/match.ts';
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
export const saveMiner = (trx: Trx, offer: MinerOffer): boolean =>
  trx.run(save, {
    id: offer.miner_id,
    account_id: offer.account_id,
    revision: offer.revision,
    status: offer.status,
    concurrency: offer.concurrency,
    offer: JSON.stringify(offer),
  }) === 1;

const byId = hot((p: Params<{ id: string }>) =>
  db.selectFrom('miner').select(['account_id', 'status', 'concurrency']).where('id', '=', p('id')),
);
export const findMiner = (
  reader: Reader,
  id: string,
): { account_id: string; status: 'active' | 'inactive'; concurrency: number } | undefined =>
  reader.get(byId, { id });

export const allMiners = (reader: Reader): MinerOffer[] =>
  reader.all(db.selectFrom('miner').select('offer')).map((row) => JSON.parse(row.offer) as MinerOffer);

export const addLane = (trx: Trx, id: string, requirement: Requirement, nowMs: number): void => {
  trx.run(
    db
      .insertInto('lane')
      .values({ id, requirement: JSON.stringify(requirement), created_at_ms: nowMs })
      .onConflict((conflict) => conflict.doNothing()),
  );
};

const laneById = hot((p: Params<{ id: string }>) =>
  db.selectFrom('lane').select('requirement').where('id', '=', p('id')),
);
export const findLane = (reader: Reader, id: string): Requirement | undefined => {
  const row = reader.get(laneById, { id });
  return row === undefined ? undefined : (JSON.parse(row.requirement) as Requirement);
};
