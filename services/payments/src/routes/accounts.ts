import { type Handlers, type Store, waitFor } from '@aitbc/chassis';
import {
  CURRENCY,
  fromMinor,
  ledgerAddress,
  notFound,
  type paymentsRoutes,
  toMinor,
  toTimestamp,
} from '@aitbc/contracts';
import { creditByAdmin } from '../commands/mint.ts';
import type { Deps } from '../commands/resolve.ts';
import { owedBy } from '../exchange/store/debts.ts';
import { findUser } from '../store/accounts.ts';
import { NEWS_WAIT_MS } from './news.ts';

type Routes = Pick<typeof paymentsRoutes, 'balance' | 'credit'>;

export const createAccountHandlers = (store: Store, deps: Deps): Handlers<Routes> => ({
  balance: async ({ caller, params }) => {
    const isOwn = caller.account_id === params.user_id;
    if (!isOwn && !caller.scopes.includes('admin')) throw notFound('account');
    const account = await findUser(store.read, params.user_id);
    // An account that payments has not heard of yet has nothing; it is there all the same when it asks.
    if (account === undefined && !isOwn) throw notFound('account');
    const balanceMinor = account?.balance_minor ?? 0;
    const heldMinor = account?.held_minor ?? 0;
    const debtMinor = account === undefined ? 0 : await owedBy(store.read, account.id);
    return {
      status: 200,
      body: {
        user_id: params.user_id,
        address: ledgerAddress(params.user_id),
        balance: fromMinor(balanceMinor + heldMinor),
        available: fromMinor(Math.max(0, balanceMinor - debtMinor)),
        held: fromMinor(heldMinor),
        debt: fromMinor(debtMinor),
        currency: CURRENCY,
        updated_at: toTimestamp(account?.last_seen_ms ?? deps.now()),
      },
    };
  },
  credit: async (context) => {
    const { params, body, caller } = context;
    const account_id = params.account_id === 'treasury' ? null : params.account_id;
    if (account_id !== null)
      await waitFor(store, `account:${account_id}`, () => findUser(store.read, account_id), {
        withinMs: NEWS_WAIT_MS,
        gone: [context.signal],
      });
    return context.write(async (trx) => {
      const { created_at_ms, ...credit } = await creditByAdmin(trx, deps, caller, {
        account_id,
        amount_minor: toMinor(body.amount),
        reason: body.reason,
      });
      return {
        status: 201,
        body: {
          ...credit,
          account_id,
          amount: body.amount,
          currency: CURRENCY,
          reason: body.reason,
          created_at: toTimestamp(created_at_ms),
        },
      };
    });
  },
});
