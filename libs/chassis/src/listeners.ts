import type { Payload } from '@aitbc/contracts';
import type { ChassisTables } from './migrations/index.ts';
import { builder, hot, type Params } from './sql.ts';
import type { Store, Trx } from './store/index.ts';

const db = builder<ChassisTables>();
const CHANGED = 'listeners';

interface Row {
  account_id: string;
  revision: number;
  listens: number;
}
const save = hot((p: Params<Row>) =>
  db
    .insertInto('listener')
    .values({ account_id: p('account_id'), revision: p('revision'), listens: p('listens') })
    .onConflict((conflict) =>
      conflict
        .column('account_id')
        .doUpdateSet({ revision: p('revision'), listens: p('listens') })
        .where('listener.revision', '<', p('revision')),
    ),
);

/**
 * The accounts that have a webhook, as the gateway said: for them alone there is anything to announce. In memory, so that
 * asking costs nothing for all others. It is a copy, and for some seconds after a first webhook it does not know of it.
 */
export const createListeners = async (store: Store) => {
  const accounts = new Set<string>();
  const load = async (): Promise<void> => {
    const rows = await store.read.all(
      db.selectFrom('listener').select('account_id').where('listens', '=', 1),
    );
    const found = new Set(rows.map(({ account_id }) => account_id));
    for (const id of accounts) if (!found.has(id)) accounts.delete(id);
    for (const id of found) accounts.add(id);
  };
  // Another process may hear of a change.
  if (store.isShared) store.subscribe(CHANGED, () => void load().catch(() => {}));
  await load();
  return {
    has: (accountId: string): boolean => accounts.has(accountId),
    /** Those of `ids` that listen, each once. */
    among: (ids: readonly (string | null | undefined)[]): string[] => [
      ...new Set(ids.filter((id): id is string => id != null && accounts.has(id))),
    ],
    /** The consumer of gateway.listeners_changed. */
    apply: async (trx: Trx, said: Payload<'gateway.listeners_changed'>): Promise<void> => {
      for (const { account_id, revision, listens } of said.accounts) {
        if ((await trx.run(save, { account_id, revision, listens: Number(listens) })) === 0) continue;
        trx.afterCommit(() => {
          if (listens) accounts.add(account_id);
          else accounts.delete(account_id);
        });
        trx.notify(CHANGED);
      }
    },
  };
};
export type Listeners = Awaited<ReturnType<typeof createListeners>>;
