import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { BroadcastTable, DeliveryTable, SeedTable, Tables, WebhookTable } from '../tables.ts';

const db = builder<Tables>();
const idsOf = (found: readonly { id: string }[]): string[] => found.map(({ id }) => id);

const webhookById = hot((p: Params<{ id: string }>) =>
  db.selectFrom('webhook').selectAll().where('id', '=', p('id')),
);
const webhooksOfAccount = hot((p: Params<{ account_id: string }>) =>
  db
    .selectFrom('webhook')
    .selectAll()
    .where('account_id', '=', p('account_id'))
    .where('deleted', '=', 0)
    .orderBy('id', 'desc'),
);
export const findWebhook = (read: Reader, id: string) => read.get(webhookById, { id });
/** Some forty at most, newest first. */
export const webhooksOf = (read: Reader, account_id: string) => read.all(webhooksOfAccount, { account_id });
export const insertWebhook = (trx: Trx, row: WebhookTable) => trx.run(db.insertInto('webhook').values(row));
export const updateWebhook = (trx: Trx, id: string, changes: Partial<WebhookTable>) =>
  trx.run(db.updateTable('webhook').set(changes).where('id', '=', id));

type Counters = Pick<
  WebhookTable,
  | 'id'
  | 'at_once'
  | 'failures'
  | 'failing_since_ms'
  | 'rest_until_ms'
  | 'next_at_ms'
  | 'waiting'
  | 'calling'
  | 'kept'
  | 'skipped'
>;
const setCounters = hot((p: Params<Counters>) =>
  db
    .updateTable('webhook')
    .set({
      at_once: p('at_once'),
      failures: p('failures'),
      failing_since_ms: p('failing_since_ms'),
      rest_until_ms: p('rest_until_ms'),
      next_at_ms: p('next_at_ms'),
      waiting: p('waiting'),
      calling: p('calling'),
      kept: p('kept'),
      skipped: p('skipped'),
    })
    .where('id', '=', p('id')),
);
/** What changes with each delivery, as one statement. */
export const saveCounters = (trx: Trx, row: WebhookTable) => trx.run(setCounters, row);

/** A page after one, of those that are on: for what is everybody's. */
export const webhooksAfter = (read: Reader, after: string, limit: number) =>
  read.all(
    db
      .selectFrom('webhook')
      .selectAll()
      .where('id', '>', after)
      .where('enabled', '=', 1)
      .where('deleted', '=', 0)
      .where('kind', '=', 'endpoint')
      .orderBy('id')
      .limit(limit),
  );

const dueNow = hot((p: Params<{ now_ms: number; limit: number }>) =>
  db
    .selectFrom('webhook')
    .select(['id', 'failures'])
    .where('next_at_ms', '<=', p('now_ms'))
    .orderBy('next_at_ms')
    .limit(p('limit')),
);
export const dueWebhooks = (read: Reader, now_ms: number, limit: number) =>
  read.all(dueNow, { now_ms, limit });
const soonest = hot((_p: Params<Record<never, never>>) =>
  db
    .selectFrom('webhook')
    .select('next_at_ms')
    .where('next_at_ms', 'is not', null)
    .orderBy('next_at_ms')
    .limit(1),
);
export const nextAt = async (read: Reader): Promise<number | null> =>
  (await read.get(soonest, {}))?.next_at_ms ?? null;

const busyNow = hot((_p: Params<Record<never, never>>) =>
  db.selectFrom('webhook').select(['calling', 'failures']).where('calling', '>', 0),
);
/** Calls under way: all, and those to endpoints that failed last. */
export const busy = async (read: Reader): Promise<{ all: number; failing: number }> => {
  const counts = { all: 0, failing: 0 };
  for (const { calling, failures } of await read.all(busyNow, {})) {
    counts.all += calling;
    if (failures > 0) counts.failing += calling;
  }
  return counts;
};
export const countWaiting = async (read: Reader): Promise<number> =>
  Number((await read.get(db.selectFrom('webhook').select((eb) => eb.fn.sum('waiting').as('n'))))?.n ?? 0);
export const countDisabled = async (read: Reader): Promise<number> =>
  Number(
    (
      await read.get(
        db
          .selectFrom('webhook')
          .select((eb) => eb.fn.countAll().as('n'))
          .where('disabled_reason', 'in', ['failing', 'gone'])
          .where('deleted', '=', 0),
      )
    )?.n ?? 0,
  );

const seedOf = hot((p: Params<{ signer_id: string }>) =>
  db.selectFrom('webhook_seed').selectAll().where('signer_id', '=', p('signer_id')),
);
export const findSeed = (read: Reader, signer_id: string) => read.get(seedOf, { signer_id });
export const saveSeed = (trx: Trx, { signer_id, ...seeds }: SeedTable) =>
  trx.run(
    db
      .insertInto('webhook_seed')
      .values({ signer_id, ...seeds })
      .onConflict((conflict) => conflict.column('signer_id').doUpdateSet(seeds)),
  );
export const deleteSeed = (trx: Trx, signer_id: string) =>
  trx.run(db.deleteFrom('webhook_seed').where('signer_id', '=', signer_id));

export const findListener = (read: Reader, account_id: string) =>
  read.get(db.selectFrom('webhook_listener').selectAll().where('account_id', '=', account_id));
export const saveListener = (trx: Trx, row: Tables['webhook_listener']) => {
  const { account_id: _key, ...rest } = row;
  return trx.run(
    db
      .insertInto('webhook_listener')
      .values(row)
      .onConflict((conflict) => conflict.column('account_id').doUpdateSet(rest)),
  );
};
export const listenersAfter = (read: Reader, after: string, limit: number) =>
  read.all(
    db
      .selectFrom('webhook_listener')
      .selectAll()
      .where('account_id', '>', after)
      .orderBy('account_id')
      .limit(limit),
  );

const insertRow = hot((p: Params<DeliveryTable>) =>
  db.insertInto('delivery').values({
    id: p('id'),
    webhook_id: p('webhook_id'),
    event_id: p('event_id'),
    type: p('type'),
    object_id: p('object_id'),
    data: p('data'),
    at_ms: p('at_ms'),
    url: p('url'),
    status: p('status'),
    attempt: p('attempt'),
    failures: p('failures'),
    attempts: p('attempts'),
    due_at_ms: p('due_at_ms'),
    since_ms: p('since_ms'),
    ended_at_ms: p('ended_at_ms'),
  }),
);
export const insertDelivery = (trx: Trx, row: DeliveryTable) => trx.run(insertRow, row);
const deliveryById = hot((p: Params<{ id: string }>) =>
  db.selectFrom('delivery').selectAll().where('id', '=', p('id')),
);
export const findDelivery = (read: Reader, id: string) => read.get(deliveryById, { id });

type DeliveryState = Pick<
  DeliveryTable,
  'id' | 'status' | 'attempt' | 'failures' | 'attempts' | 'due_at_ms' | 'since_ms' | 'ended_at_ms'
>;
const setState = hot((p: Params<DeliveryState>) =>
  db
    .updateTable('delivery')
    .set({
      status: p('status'),
      attempt: p('attempt'),
      failures: p('failures'),
      attempts: p('attempts'),
      due_at_ms: p('due_at_ms'),
      since_ms: p('since_ms'),
      ended_at_ms: p('ended_at_ms'),
    })
    .where('id', '=', p('id')),
);
export const saveDelivery = (trx: Trx, row: DeliveryTable) => trx.run(setState, row);

/** Due, and nothing about the same object before it is open: so each object's arrive in their order. */
const firstOfEach = hot((p: Params<{ webhook_id: string; now_ms: number; limit: number }>) =>
  db
    .selectFrom('delivery as one')
    .selectAll('one')
    .where('one.webhook_id', '=', p('webhook_id'))
    .where('one.status', '=', 'waiting')
    .where('one.due_at_ms', '<=', p('now_ms'))
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('delivery as before')
            .select('before.id')
            .whereRef('before.webhook_id', '=', 'one.webhook_id')
            .whereRef('before.object_id', '=', 'one.object_id')
            .where('before.ended_at_ms', 'is', null)
            .whereRef('before.id', '<', 'one.id'),
        ),
      ),
    )
    .orderBy('one.due_at_ms')
    .orderBy('one.id')
    .limit(p('limit')),
);
export const headsOf = (read: Reader, webhook_id: string, now_ms: number, limit: number) =>
  read.all(firstOfEach, { webhook_id, now_ms, limit });
const later = hot((p: Params<{ webhook_id: string; now_ms: number }>) =>
  db
    .selectFrom('delivery')
    .select('due_at_ms')
    .where('webhook_id', '=', p('webhook_id'))
    .where('status', '=', 'waiting')
    .where('due_at_ms', '>', p('now_ms'))
    .orderBy('due_at_ms')
    .limit(1),
);
export const nextDue = async (read: Reader, webhook_id: string, now_ms: number): Promise<number | null> =>
  (await read.get(later, { webhook_id, now_ms }))?.due_at_ms ?? null;

/** Calls that nothing was heard of in time. */
export const lostCalls = (read: Reader, now_ms: number, limit: number) =>
  read.all(
    db
      .selectFrom('delivery')
      .select(['id', 'attempt', 'due_at_ms'])
      .where('status', '=', 'calling')
      .where('due_at_ms', '<=', now_ms)
      .orderBy('due_at_ms')
      .limit(limit),
  );
export const postponeCalls = (trx: Trx, ids: readonly string[], due_at_ms: number) =>
  trx.run(
    db.updateTable('delivery').set({ due_at_ms }).where('id', 'in', ids).where('status', '=', 'calling'),
  );

export const listDeliveries = (
  read: Reader,
  filter: {
    webhook_id: string;
    status: DeliveryTable['status'] | undefined;
    before: string | undefined;
    limit: number;
  },
) => {
  let query = db
    .selectFrom('delivery')
    .selectAll()
    .where('webhook_id', '=', filter.webhook_id)
    .orderBy('id', 'desc')
    .limit(filter.limit);
  if (filter.status !== undefined) query = query.where('status', '=', filter.status);
  if (filter.before !== undefined) query = query.where('id', '<', filter.before);
  return read.all(query);
};

/** Waiting ones that nobody will call any more: since too long, or their webhook is off. */
export const hopeless = async (read: Reader, since_ms: number, limit: number): Promise<string[]> => {
  const waiting = db.selectFrom('delivery').select('id').where('status', '=', 'waiting').limit(limit);
  const off = await read.all(
    db.selectFrom('webhook').select('id').where('enabled', '=', 0).where('waiting', '>', 0).limit(limit),
  );
  const old = await read.all(waiting.where('since_ms', '<=', since_ms));
  const ofOff = off.length === 0 ? [] : await read.all(waiting.where('webhook_id', 'in', idsOf(off)));
  return [...new Set([...idsOf(old), ...idsOf(ofOff)])];
};

export const deleteDeliveries = (trx: Trx, found: readonly { id: string }[]) =>
  trx.all(db.deleteFrom('delivery').where('id', 'in', idsOf(found)).returning('webhook_id'));
export const oldDeliveries = (read: Reader, ended_before_ms: number, limit: number) =>
  read.all(
    db
      .selectFrom('delivery')
      .select(['id', 'ended_at_ms'])
      .where('ended_at_ms', '<=', ended_before_ms)
      .orderBy('ended_at_ms')
      .limit(limit),
  );
export const overfull = (read: Reader, above: number, limit: number) =>
  read.all(db.selectFrom('webhook').select(['id', 'kept']).where('kept', '>', above).limit(limit));
export const oldestOf = (read: Reader, webhook_id: string, limit: number) =>
  read.all(
    db
      .selectFrom('delivery')
      .select(['id', 'webhook_id'])
      .where('webhook_id', '=', webhook_id)
      .where('ended_at_ms', 'is not', null)
      .orderBy('id')
      .limit(limit),
  );
export const takeKept = (trx: Trx, id: string, n: number) =>
  trx.run(
    db
      .updateTable('webhook')
      .set((eb) => ({ kept: eb('kept', '-', n) }))
      .where('id', '=', id)
      .where('kept', '>=', n),
  );
/** A webhook that was deleted, and what is left of it. */
export const findDeleted = (read: Reader) =>
  read.get(db.selectFrom('webhook').select('id').where('deleted', '=', 1).orderBy('updated_at_ms').limit(1));
export const anyOf = (read: Reader, webhook_id: string, limit: number) =>
  read.all(
    db.selectFrom('delivery').select(['id', 'webhook_id']).where('webhook_id', '=', webhook_id).limit(limit),
  );
export const deleteWebhookRow = (trx: Trx, id: string) =>
  trx.run(db.deleteFrom('webhook').where('id', '=', id).where('deleted', '=', 1));

export const insertBroadcast = (trx: Trx, row: BroadcastTable) =>
  trx.run(db.insertInto('webhook_broadcast').values(row));
export const firstBroadcast = (read: Reader) =>
  read.get(db.selectFrom('webhook_broadcast').selectAll().orderBy('event_id').limit(1));
export const moveBroadcast = (trx: Trx, event_id: string, from: string, after_id: string) =>
  trx.run(
    db
      .updateTable('webhook_broadcast')
      .set({ after_id })
      .where('event_id', '=', event_id)
      .where('after_id', '=', from),
  );
export const endBroadcast = (trx: Trx, event_id: string) =>
  trx.run(db.deleteFrom('webhook_broadcast').where('event_id', '=', event_id));
