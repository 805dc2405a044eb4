import { builder, type Metrics, type Reader } from '@aitbc/chassis';
import { fromMinor } from '@aitbc/contracts';
import { MINT } from './store/accounts.ts';
import { findTip } from './store/blocks.ts';
import { ESCROWED } from './store/payments.ts';
import type { Tables } from './tables.ts';

const db = builder<Tables>();

/** What an operator watches: money that waits, work that waits, and that the ledger agrees with itself. */
export const addGauges = (metrics: Metrics, read: Reader, mismatches: () => number): void => {
  metrics.gauge('escrow_held', 'AITBC held in escrow', async () =>
    fromMinor(
      Number(
        (
          await read.get(
            db
              .selectFrom('payment')
              .select((eb) => eb.fn.sum<number>('amount_minor').as('minor'))
              .where('status', '=', ESCROWED),
          )
        )?.minor ?? 0,
      ),
    ),
  );
  metrics.gauge('payments_unsettled', 'Payments decided and not yet carried out', async () =>
    Number(
      (
        await read.get(
          db
            .selectFrom('resolution')
            .select((eb) => eb.fn.countAll<number>().as('n'))
            .where('settled_at_ms', 'is', null),
        )
      )?.n ?? 0,
    ),
  );
  metrics.gauge('ledger_supply', 'AITBC in existence', async () =>
    fromMinor(
      -(
        (await read.get(db.selectFrom('account').select('balance_minor').where('id', '=', MINT.id)))
          ?.balance_minor ?? 0
      ),
    ),
  );
  metrics.gauge('ledger_height', 'Height of the newest block; -1 before the first', async () => {
    return (await findTip(read))?.height ?? -1;
  });
  metrics.gauge('ledger_unsealed', 'Transfers not yet in a block', async () => {
    const newest = await read.get(db.selectFrom('transfer').select((eb) => eb.fn.max('seq').as('seq')));
    return Number(newest?.seq ?? 0) - ((await findTip(read))?.last_seq ?? 0);
  });
  metrics.gauge(
    'ledger_mismatches',
    'Accounts whose balance does not agree with their transfers',
    mismatches,
  );
};
