import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { InvoiceStatus } from '@aitbc/contracts';
import type { Selectable } from 'kysely';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

export type Invoice = Selectable<Tables['exchange_invoice']>;

/** The store's topic of one invoice: something about it changed. */
export const invoiceTopic = (id: string): string => `exchange:${id}`;

const byId = hot((p: Params<{ id: string }>) =>
  db.selectFrom('exchange_invoice').selectAll().where('id', '=', p('id')),
);
const anyByScript = hot((p: Params<{ script: string }>) =>
  db.selectFrom('exchange_invoice').select('id').where('script', '=', p('script')).limit(1),
);
const rootByScript = hot((p: Params<{ script: string }>) =>
  db
    .selectFrom('exchange_invoice')
    .select('root_id')
    .where('script', '=', p('script'))
    .where('wallet_id', 'is not', null)
    .limit(1),
);
const rootByAmount = hot((p: Params<{ script: string; reserved_sats: number | null }>) =>
  db
    .selectFrom('exchange_invoice')
    .select('root_id')
    .where('script', '=', p('script'))
    .where('reserved_sats', '=', p('reserved_sats')),
);
const openOf = hot((p: Params<{ root_id: string }>) =>
  db
    .selectFrom('exchange_invoice')
    .selectAll()
    .where('root_id', '=', p('root_id'))
    .where('credited_at_ms', 'is', null),
);
const dueToExpire = hot((p: Params<{ now_ms: number; limit: number }>) =>
  db
    .selectFrom('exchange_invoice')
    .select('id')
    .where('is_expired', '=', 0)
    .where('expires_at_ms', '<=', p('now_ms'))
    .orderBy('expires_at_ms')
    .limit(p('limit')),
);
const family = hot((p: Params<{ root_id: string }>) =>
  db
    .selectFrom('exchange_invoice')
    .select(['id', 'credited_sats'])
    .where('root_id', '=', p('root_id'))
    .orderBy('id'),
);

export const findInvoice = (reader: Reader, id: string): Promise<Invoice | undefined> =>
  reader.get(byId, { id });

export const hasScript = async (reader: Reader, script: string): Promise<boolean> =>
  (await reader.get(anyByScript, { script })) !== undefined;

/** Whose money an output is: by its address, or on a shared address by its amount. */
export const findRootFor = async (reader: Reader, script: string, sats: number): Promise<string | null> =>
  (
    (await reader.get(rootByScript, { script })) ??
    (await reader.get(rootByAmount, { script, reserved_sats: sats }))
  )?.root_id ?? null;

/** The one invoice of a family that no credit has closed. */
export const findOpenOf = (reader: Reader, rootId: string): Promise<Invoice | undefined> =>
  reader.get(openOf, { root_id: rootId });

export const findDueToExpire = async (reader: Reader, nowMs: number, limit: number): Promise<string[]> =>
  (await reader.all(dueToExpire, { now_ms: nowMs, limit })).map((row) => row.id);

export const familyOf = (reader: Reader, rootId: string) => reader.all(family, { root_id: rootId });

/** Invoices that an event on the chain can bring forward: money is on its way, or waits. */
export const findUnfinished = (reader: Reader): Promise<{ id: string; script: string }[]> =>
  reader.all(
    db
      .selectFrom('exchange_invoice')
      .select(['id', 'script'])
      .where('credited_at_ms', 'is', null)
      .where('status', 'in', ['processing', 'underpaid']),
  );

export const countOpen = async (reader: Reader, accountId: string, nowMs: number): Promise<number> =>
  Number(
    (
      await reader.get(
        db
          .selectFrom('exchange_invoice')
          .select((eb) => eb.fn.countAll().as('n'))
          .where('account_id', '=', accountId)
          .where('credited_at_ms', 'is', null)
          .where('is_expired', '=', 0)
          .where('expires_at_ms', '>', nowMs),
      )
    )?.n ?? 0,
  );

export const addInvoice = async (
  trx: Trx,
  invoice: Pick<
    Invoice,
    | 'id'
    | 'account_id'
    | 'root_id'
    | 'address'
    | 'script'
    | 'wallet_id'
    | 'address_index'
    | 'reserved_sats'
    | 'amount_sats'
    | 'amount_minor'
    | 'rate_minor'
    | 'created_at_ms'
    | 'expires_at_ms'
    | 'is_expired'
    | 'status'
    | 'confirmations_required'
  >,
): Promise<void> => {
  await trx.run(
    db.insertInto('exchange_invoice').values({ ...invoice, updated_at_ms: invoice.created_at_ms }),
  );
};

/** Writes what changed, raises the version, and wakes who waits. @returns 0 when the guard did not hold. */
export const updateInvoice = async (
  trx: Trx,
  id: string,
  changes: Partial<Omit<Invoice, 'id' | 'version' | 'updated_at_ms'>>,
  nowMs: number,
  guard: { uncredited: boolean } = { uncredited: false },
): Promise<number> => {
  let query = db
    .updateTable('exchange_invoice')
    .set((eb) => ({ ...changes, version: eb('version', '+', 1), updated_at_ms: nowMs }))
    .where('id', '=', id);
  if (guard.uncredited) query = query.where('credited_at_ms', 'is', null);
  const changed = await trx.run(query);
  if (changed > 0) trx.notify(invoiceTopic(id));
  return changed;
};

/** The next index of a wallet, given out once. */
export const takeIndex = async (trx: Trx, walletId: string): Promise<number> => {
  const row = await trx.get(
    db
      .insertInto('exchange_wallet')
      .values({ id: walletId, next_index: 1 })
      .onConflict((conflict) =>
        conflict.column('id').doUpdateSet((eb) => ({
          next_index: eb('exchange_wallet.next_index', '+', 1),
        })),
      )
      .returning('next_index'),
  );
  if (row === undefined) throw new Error(`wallet ${walletId} gives no index`);
  return row.next_index - 1;
};

/** The index that would come next: a guess to prepare on. */
export const peekIndex = async (reader: Reader, walletId: string): Promise<number> =>
  (await reader.get(db.selectFrom('exchange_wallet').select('next_index').where('id', '=', walletId)))
    ?.next_index ?? 0;

/** The lowest amount from `sats` on that no invoice on this address stands for, or null within `range`. */
export const freeAmount = async (
  reader: Reader,
  script: string,
  sats: number,
  range: number,
): Promise<number | null> => {
  const taken = await reader.all(
    db
      .selectFrom('exchange_invoice')
      .select('reserved_sats')
      .where('script', '=', script)
      .where('reserved_sats', '>=', sats)
      .where('reserved_sats', '<=', sats + range)
      .orderBy('reserved_sats'),
  );
  let free = sats;
  for (const { reserved_sats } of taken) {
    if (reserved_sats !== free) break;
    free += 1;
  }
  return free > sats + range ? null : free;
};

/** Lets go of amounts whose invoices ended before `beforeMs`. */
export const releaseAmounts = (trx: Trx, beforeMs: number, limit: number): Promise<number> =>
  trx.run(
    db
      .updateTable('exchange_invoice')
      .set({ reserved_sats: null })
      .where('id', 'in', (eb) =>
        eb
          .selectFrom('exchange_invoice')
          .select('id')
          .where('reserved_sats', 'is not', null)
          .where('is_expired', '=', 1)
          .where('status', 'in', ['expired', 'confirmed', 'overpaid', 'late', 'underpaid'])
          .where('expires_at_ms', '<', beforeMs)
          .where('updated_at_ms', '<', beforeMs)
          .limit(limit),
      ),
  );

/** When the oldest invoice that can still be paid was made. */
export const oldestOpenMs = async (reader: Reader): Promise<number | null> => {
  const row = await reader.get(
    db
      .selectFrom('exchange_invoice')
      .select('created_at_ms')
      .where('credited_at_ms', 'is', null)
      .orderBy('id')
      .limit(1),
  );
  return row?.created_at_ms ?? null;
};

interface AddressRow {
  address: string;
  script: string;
}

/**
 * Derived addresses to ask about next. Those with money under way or with time left come first, at every look; the
 * others once their last look lies back `restMs`, until `keptMs` after their time.
 */
export const findToAsk = async (
  reader: Reader,
  options: { nowMs: number; restMs: number; keptMs: number; limit: number },
): Promise<AddressRow[]> => {
  const base = db
    .selectFrom('exchange_invoice')
    .select(['address', 'script', 'looked_at_ms'])
    .where('wallet_id', 'is not', null);
  const open = await reader.all(
    base
      .where('credited_at_ms', 'is', null)
      .where('status', 'in', ['pending', 'processing', 'underpaid'])
      .orderBy('looked_at_ms')
      .limit(options.limit),
  );
  const resting = await reader.all(
    base
      .where('looked_at_ms', '<', options.nowMs - options.restMs)
      .where('expires_at_ms', '>', options.nowMs - options.keptMs)
      .orderBy('looked_at_ms')
      .limit(options.limit),
  );
  const rows = new Map<string, AddressRow>();
  // A quarter for the old ones, so that a crowd of new ones cannot starve them.
  const share = Math.max(options.limit - resting.length, Math.ceil((options.limit * 3) / 4));
  for (const { address, script } of [...open.slice(0, share), ...resting])
    if (rows.size < options.limit) rows.set(script, { address, script });
  return [...rows.values()];
};

export const noteLooked = async (trx: Trx, scripts: readonly string[], nowMs: number): Promise<void> => {
  if (scripts.length === 0) return;
  await trx.run(
    db
      .updateTable('exchange_invoice')
      .set({ looked_at_ms: nowMs })
      .where('script', 'in', [...scripts]),
  );
};

export const listInvoices = async (
  reader: Reader,
  filter: {
    account_id: string;
    status: InvoiceStatus | undefined;
    before: string | undefined;
    limit: number;
  },
): Promise<Invoice[]> => {
  let query = db
    .selectFrom('exchange_invoice')
    .selectAll()
    .where('account_id', '=', filter.account_id)
    .orderBy('id', 'desc')
    .limit(filter.limit);
  if (filter.status !== undefined) query = query.where('status', '=', filter.status);
  if (filter.before !== undefined) query = query.where('id', '<', filter.before);
  return await reader.all(query);
};

export const countByStatus = async (reader: Reader, status: InvoiceStatus): Promise<number> =>
  Number(
    (
      await reader.get(
        db
          .selectFrom('exchange_invoice')
          .select((eb) => eb.fn.countAll().as('n'))
          .where('credited_at_ms', 'is', null)
          .where('status', '=', status),
      )
    )?.n ?? 0,
  );
