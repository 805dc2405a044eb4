import { builder, hot, type Params, type Trx } from '@aitbc/chassis';
import { NO_WORDS, type Words } from '../domain.ts';
import type { Tables } from '../tables.ts';
import { countDone } from './miners.ts';

const db = builder<Tables>();

const insertEarning = hot(
  (
    p: Params<{
      payment_id: string;
      miner_id: string;
      earned_minor: number;
      forget_at_ms: number;
      account_id: string;
      client_id: string;
    }>,
  ) =>
    db
      .insertInto('earning')
      .values({
        payment_id: p('payment_id'),
        miner_id: p('miner_id'),
        earned_minor: p('earned_minor'),
        forget_at_ms: p('forget_at_ms'),
      })
      .onConflict((conflict) => conflict.doNothing())
      .returning((eb) => {
        const said = <C extends keyof Words>(column: C) =>
          eb
            .selectFrom('counterparty')
            .select(column)
            .where('account_id', '=', p('account_id'))
            .where('client_id', '=', p('client_id'));
        return [said('good').as('good'), said('bad').as('bad'), said('at_ms').as('at_ms')];
      }),
);

/**
 * Adds a payment to what its miner earned, once.
 * @param between whose words are wanted, and of whom
 * @returns what that client has said so far; undefined when the payment was added before
 */
export const addEarning = async (
  trx: Trx,
  earning: Tables['earning'],
  between: { account_id: string; client_id: string },
): Promise<Words | undefined> => {
  const row = await trx.get(insertEarning, { ...earning, ...between });
  if (row === undefined) return undefined;
  countDone(trx, earning.miner_id, { earned_minor: earning.earned_minor });
  const { good, bad, at_ms } = row;
  return good === null || bad === null || at_ms === null ? NO_WORDS : { good, bad, at_ms };
};
