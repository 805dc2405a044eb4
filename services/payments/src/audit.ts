import { builder, hot, type Log, type Params, type Reader, type Scheduled, type Store } from '@aitbc/chassis';
import { ESCROWED } from './store/payments.ts';
import type { Tables } from './tables.ts';

const db = builder<Tables>();

const BATCH = 500;
const EVERY_MS = 5_000;

// Three projections of the same transfers are held against each other: the balance that the triggers move, the balance
// at the last block that the sealer moves, and the sum of what is not sealed yet; and what is held against the payments.
const compare = hot((p: Params<{ after: number; limit: number }>) =>
  db
    .selectFrom('account as a')
    .select((eb) => {
      const unsealed = (side: 'debit' | 'credit') =>
        eb.fn.coalesce(
          eb
            .selectFrom('transfer as t')
            .select((sum) => sum.fn.sum<number>('t.amount_minor').as('minor'))
            .whereRef(`t.${side}`, '=', 'a.id')
            .where('t.seq', '>', (last) =>
              last
                .selectFrom('block')
                .select((max) => max.fn.coalesce(max.fn.max('last_seq'), max.lit(0)).as('seq')),
            ),
          eb.lit(0),
        );
      return [
        'a.id',
        'a.address',
        'a.kind',
        'a.balance_minor',
        'a.sealed_minor',
        'a.held_minor',
        unsealed('credit').as('credited_minor'),
        unsealed('debit').as('debited_minor'),
        eb.fn
          .coalesce(
            eb
              .selectFrom('payment')
              .select((sum) => sum.fn.sum<number>('amount_minor').as('minor'))
              .whereRef('payment.payer', '=', 'a.id')
              .where('payment.status', '=', ESCROWED),
            eb.lit(0),
          )
          .as('held_by_payments_minor'),
        eb.fn
          .coalesce(
            eb
              .selectFrom('payment')
              .select('amount_minor')
              .whereRef('payment.escrow', '=', 'a.id')
              .where('payment.status', '=', ESCROWED),
            eb.lit(0),
          )
          .as('escrow_must_hold_minor'),
      ];
    })
    .where('a.id', '>', p('after'))
    .orderBy('a.id')
    .limit(p('limit')),
);

type Row = Awaited<ReturnType<typeof rows>>[number];
const rows = (reader: Reader, after: number, limit: number) => reader.all(compare, { after, limit });

const isWrong = (row: Row): boolean =>
  row.balance_minor !== row.sealed_minor + Number(row.credited_minor) - Number(row.debited_minor) ||
  row.held_minor !== Number(row.held_by_payments_minor) ||
  (row.kind === 'escrow' && row.balance_minor !== Number(row.escrow_must_hold_minor));

/** Compares so many accounts beyond `after`. @returns the ones that do not agree, and where to go on. */
export const auditAccounts = async (reader: Reader, after: number, limit = BATCH) => {
  const found = await rows(reader, after, limit);
  return {
    wrong: found.filter(isWrong).map((row) => row.address),
    next: found.length < limit ? 0 : (found.at(-1)?.id ?? 0),
  };
};

/** Walks through all accounts, a batch at a time and round again. What it finds stays found until an operator looks. */
export const createAudit = (store: Store, log: Log) => {
  const mismatches = new Set<string>();
  let after = 0;
  const schedule: Scheduled = {
    name: 'payments.audit',
    everyMs: EVERY_MS,
    run: async () => {
      const { wrong, next } = await auditAccounts(store.read, after);
      for (const address of wrong) {
        if (!mismatches.has(address)) log.error({ address }, 'a balance does not agree with its transfers');
        mismatches.add(address);
      }
      after = next;
    },
  };
  return {
    schedule,
    mismatches: () => mismatches.size,
  };
};
