import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { Status } from '../domain.ts';
import type { MinerTable, Tables } from '../tables.ts';

const db = builder<Tables>();

export type Miner = MinerTable;
/** As its row says. */
export type KnownMiner = Miner & { readonly lives_until_ms: number };

const byId = hot((p: Params<{ id: string }>) => db.selectFrom('miner').selectAll().where('id', '=', p('id')));
const byName = hot((p: Params<{ account_id: string; name: string }>) =>
  db.selectFrom('miner').selectAll().where('account_id', '=', p('account_id')).where('name', '=', p('name')),
);
const setStatus = hot((p: Params<{ id: string; status: Status; seen_at_ms: number }>) =>
  db
    .updateTable('miner')
    .set((eb) => ({
      status: p('status'),
      seen_at_ms: p('seen_at_ms'),
      revision: eb('revision', '+', 1),
    }))
    .where('id', '=', p('id'))
    .where('status', '<>', p('status')),
);
interface Done {
  readonly jobs_completed: number;
  readonly jobs_failed: number;
  readonly jobs_lost: number;
  readonly earned_minor: number;
}
const addDone = hot((p: Params<Done & { id: string }>) =>
  db
    .updateTable('miner')
    .set((eb) => ({
      jobs_completed: eb('jobs_completed', '+', p('jobs_completed')),
      jobs_failed: eb('jobs_failed', '+', p('jobs_failed')),
      jobs_lost: eb('jobs_lost', '+', p('jobs_lost')),
      earned_minor: eb('earned_minor', '+', p('earned_minor')),
    }))
    .where('id', '=', p('id')),
);
export const findMiner = (reader: Reader, id: string): Promise<Miner | undefined> => reader.get(byId, { id });

export const findMinerByName = (
  reader: Reader,
  accountId: string,
  name: string,
): Promise<KnownMiner | undefined> => reader.get(byName, { account_id: accountId, name });

const lastOfKey = hot((p: Params<{ account_id: string; key_id: string }>) =>
  db
    .selectFrom('miner')
    .selectAll()
    .where('account_id', '=', p('account_id'))
    .where('alias_key_id', '=', p('key_id'))
    .orderBy('alias_at_ms', 'desc')
    .limit(1),
);
/** The miner that a key registered last through the routes of the original. */
export const lastMinerOfKey = (
  reader: Reader,
  accountId: string,
  keyId: string,
): Promise<Miner | undefined> => reader.get(lastOfKey, { account_id: accountId, key_id: keyId });

export const insertMiner = async (trx: Trx, miner: Miner & { lives_until_ms?: number }): Promise<void> => {
  await trx.run(db.insertInto('miner').values(miner));
};

export const updateMiner = async (trx: Trx, id: string, changes: Partial<KnownMiner>): Promise<void> => {
  await trx.run(db.updateTable('miner').set(changes).where('id', '=', id));
};

export const deleteMiner = async (trx: Trx, id: string): Promise<void> => {
  await trx.run(db.deleteFrom('miner').where('id', '=', id));
};

/** @returns 0 when the miner already has that status (or is no more): then there is nothing to tell. */
export const changeStatus = (trx: Trx, id: string, status: Status, seenAtMs: number): Promise<number> =>
  trx.run(setStatus, { id, status, seen_at_ms: seenAtMs });

const NOTHING: Done = { jobs_completed: 0, jobs_failed: 0, jobs_lost: 0, earned_minor: 0 };
/** In the order of their ids: two processes that write the same miners must not wait for each other. */
const writeDone = async (trx: Trx, all: readonly { id: string; done: Partial<Done> }[]): Promise<void> => {
  const sums = new Map<string, Done>();
  for (const { id, done } of all) {
    const sum = sums.get(id) ?? NOTHING;
    sums.set(id, {
      jobs_completed: sum.jobs_completed + (done.jobs_completed ?? 0),
      jobs_failed: sum.jobs_failed + (done.jobs_failed ?? 0),
      jobs_lost: sum.jobs_lost + (done.jobs_lost ?? 0),
      earned_minor: sum.earned_minor + (done.earned_minor ?? 0),
    });
  }
  for (const id of [...sums.keys()].sort()) await trx.run(addDone, { id, ...(sums.get(id) as Done) });
};
/** Adds to what a miner has done: of all that a commit says of it one statement is made. Of one that is no more, nothing. */
export const countDone = (trx: Trx, id: string, done: Partial<Done>): void =>
  trx.gather(writeDone, { id, done });

const raiseRevision = hot((p: Params<{ id: string }>) =>
  db
    .updateTable('miner')
    .set((eb) => ({ revision: eb('revision', '+', 1) }))
    .where('id', '=', p('id')),
);
export const saveRevision = async (trx: Trx, id: string): Promise<void> => {
  await trx.run(raiseRevision, { id });
};

const weights = hot((p: Params<{ account_id: string }>) =>
  db
    .selectFrom('miner')
    .select((eb) => eb.fn.sum<number>('weight').as('weight'))
    .where('account_id', '=', p('account_id')),
);
/** What the attributes of all miners of an account take: read off an index. */
export const weightOfMiners = async (reader: Reader, accountId: string): Promise<number> =>
  Number((await reader.get(weights, { account_id: accountId }))?.weight ?? 0);

export const minersOf = (reader: Reader, accountId: string): Promise<Miner[]> =>
  reader.all(db.selectFrom('miner').selectAll().where('account_id', '=', accountId).orderBy('id', 'desc'));

/** A miner may hold 500 names of models: some 100 KB. Rows are read a few at a time, as the page is filled. */
const ROWS_AT_ONCE = 20;

/** Miners, the newest first, of one account or of all: read as they are walked. */
export async function* minersBefore(
  reader: Reader,
  filter: { account_id?: string; status?: Status | undefined; beforeId: string | undefined },
): AsyncGenerator<Miner> {
  let { beforeId } = filter;
  for (;;) {
    let query = db.selectFrom('miner').selectAll().orderBy('id', 'desc').limit(ROWS_AT_ONCE);
    if (filter.account_id !== undefined) query = query.where('account_id', '=', filter.account_id);
    if (filter.status !== undefined) query = query.where('status', '=', filter.status);
    if (beforeId !== undefined) query = query.where('id', '<', beforeId);
    const rows = await reader.all(query);
    yield* rows;
    if (rows.length < ROWS_AT_ONCE) return;
    beforeId = rows.at(-1)?.id;
  }
}
