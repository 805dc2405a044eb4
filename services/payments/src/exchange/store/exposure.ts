import { builder, hot, type Params, type Reader } from '@aitbc/chassis';
import { sql } from 'kysely';
import { FINAL_CONFIRMATIONS } from '../domain/invoice.ts';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

/** What waits in a mempool for longer than this is not what somebody is about to be credited for. */
const MEMPOOL_MS = 24 * 3_600_000;

const sums = () =>
  db
    .selectFrom('exchange_output as o')
    .innerJoin('exchange_invoice as i', 'i.id', 'o.invoice_id')
    .select((eb) => [
      'i.account_id',
      eb.fn.sum<number>('o.value_sats').as('live_sats'),
      sql<number>`sum(CASE WHEN ${sql.ref('o.is_credited')} = 1 THEN ${sql.ref('o.value_sats')} ELSE 0 END)`.as(
        'credited_sats',
      ),
    ])
    .groupBy('i.account_id');

const shallow = hot((p: Params<{ above: number }>) => sums().where('o.block_height', '>', p('above')));
const waiting = hot((p: Params<{ since_ms: number }>) =>
  sums().where('o.state', '=', 'mempool').where('o.first_seen_ms', '>=', p('since_ms')),
);

/** The value that a reorganisation could take back now, read once for all invoices of a transaction. */
export interface Exposure {
  /** What an account has on the way or not yet final, credited or not. */
  readonly liveOf: (accountId: string) => Promise<number>;
  /** What was credited to others and is not yet final. */
  readonly creditedToOthers: (accountId: string) => Promise<number>;
  /** A credit of this transaction. */
  readonly credited: (accountId: string, sats: number) => Promise<void>;
}

const load = async (reader: Reader, tipHeight: number, nowMs: number) => {
  const live = new Map<string, number>();
  const credited = new Map<string, number>();
  const rows = [
    ...(await reader.all(shallow, { above: tipHeight + 1 - FINAL_CONFIRMATIONS })),
    ...(await reader.all(waiting, { since_ms: nowMs - MEMPOOL_MS })),
  ];
  for (const row of rows) {
    live.set(row.account_id, (live.get(row.account_id) ?? 0) + Number(row.live_sats));
    credited.set(row.account_id, (credited.get(row.account_id) ?? 0) + Number(row.credited_sats));
  }
  const total = [...credited.values()].reduce((sum, sats) => sum + sats, 0);
  return { live, credited, total };
};

/** Read when it is asked for first: by then everything that a look found must be written. */
export const createExposure = (reader: Reader, tipHeight: number, nowMs: number): Exposure => {
  let loaded: Awaited<ReturnType<typeof load>> | null = null;
  const known = async () => {
    loaded ??= await load(reader, tipHeight, nowMs);
    return loaded;
  };
  return {
    liveOf: async (accountId) => (await known()).live.get(accountId) ?? 0,
    creditedToOthers: async (accountId) => {
      const { total, credited } = await known();
      return total - (credited.get(accountId) ?? 0);
    },
    credited: async (accountId, sats) => {
      const exposure = await known();
      exposure.credited.set(accountId, (exposure.credited.get(accountId) ?? 0) + sats);
      exposure.total += sats;
    },
  };
};
