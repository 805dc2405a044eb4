import {
  builder,
  type Consumers,
  loadConfig,
  type Running,
  type Store,
  sendAs,
  standUp,
  type Trx,
} from '@aitbc/chassis';
import {
  type Caller,
  fromMinor,
  messages,
  newId,
  type Payload,
  routes,
  type ServiceName,
  toMinor,
} from '@aitbc/contracts';
import { callerOf, scratchDirectory, scratchRedis, serviceEnv, someone, tables } from '@aitbc/testing';
import { configShape } from './config.ts';
import { startMarket } from './service.ts';

/** Ends the test run's service by failing the test that made it stuck. */
const fail = (reason: string): void => {
  throw new Error(reason);
};

interface Books {
  balance: { account_id: string; minor: number };
  hold: {
    order_id: string;
    payment_id: string;
    booker_id: string;
    owner_id: string;
    amount_minor: number;
    state: 'refused' | 'held' | 'settled';
    paid_minor: number | null;
  };
}
const books = builder<Books>();

const BOOKS = tables(
  'CREATE TABLE balance (account_id TEXT PRIMARY KEY, minor INTEGER NOT NULL CHECK (minor >= 0)) STRICT',
  `CREATE TABLE hold (
    order_id TEXT PRIMARY KEY, payment_id TEXT NOT NULL, booker_id TEXT NOT NULL, owner_id TEXT NOT NULL,
    amount_minor INTEGER NOT NULL, state TEXT NOT NULL, paid_minor INTEGER) STRICT`,
);

const credit = async (trx: Trx, accountId: string, minor: number): Promise<void> => {
  const update = books
    .updateTable('balance')
    .set((eb) => ({ minor: eb('minor', '+', minor) }))
    .where('account_id', '=', accountId);
  if ((await trx.run(update)) === 0)
    await trx.run(books.insertInto('balance').values({ account_id: accountId, minor }));
};

const findHold = (store: Pick<Trx, 'get'>, orderId: string) =>
  store.get(books.selectFrom('hold').selectAll().where('order_id', '=', orderId));

/** Plays payments: a file, an outbox and an inbox of its own, and books that must balance. */
const paymentsConsumers = (behaviour: { isSilent: boolean }): Partial<Consumers<'payments'>> => {
  const send = sendAs<'payments'>();
  const answer = async (trx: Trx, orderId: string): Promise<void> => {
    const hold = await findHold(trx, orderId);
    if (hold === undefined) return;
    if (hold.state === 'refused')
      await send(trx, 'payments.booking_refused', {
        order_id: orderId,
        code: 'INSUFFICIENT_FUNDS',
        message: 'no',
      });
    else await send(trx, 'payments.booking_held', { order_id: orderId, payment_id: hold.payment_id });
  };
  return {
    'market.booking_requested': async (trx, request) => {
      if ((await findHold(trx, request.order_id)) !== undefined) return;
      const account = await trx.get(
        books.selectFrom('balance').selectAll().where('account_id', '=', request.booker_account_id),
      );
      const isCovered = (account?.minor ?? 0) >= request.amount_minor;
      if (isCovered) await credit(trx, request.booker_account_id, 0 - request.amount_minor);
      await trx.run(
        books.insertInto('hold').values({
          order_id: request.order_id,
          payment_id: newId(),
          booker_id: request.booker_account_id,
          owner_id: request.owner_account_id,
          amount_minor: request.amount_minor,
          state: isCovered ? 'held' : 'refused',
          paid_minor: null,
        }),
      );
      if (!behaviour.isSilent) await answer(trx, request.order_id);
    },
    'market.booking_ended': async (trx, { order_id, pay_minor }) => {
      const hold = await findHold(trx, order_id);
      if (hold === undefined || hold.state === 'refused') throw new Error('nothing is held for this order');
      if (hold.state === 'settled') {
        if (hold.paid_minor !== pay_minor) throw new Error('the same order ended with two amounts');
        return;
      }
      await trx.run(
        books
          .updateTable('hold')
          .set({ state: 'settled', paid_minor: pay_minor })
          .where('order_id', '=', order_id),
      );
      await credit(trx, hold.owner_id, pay_minor);
      await credit(trx, hold.booker_id, hold.amount_minor - pay_minor);
      await send(trx, 'payments.booking_settled', {
        order_id,
        paid_minor: pay_minor,
        refunded_minor: hold.amount_minor - pay_minor,
      });
    },
  };
};

/** A service that listens and speaks on the real queue, without routes. */
const startStandIn = async <S extends ServiceName>(
  name: S,
  env: Record<string, string>,
  consumers: Partial<Consumers<S>>,
): Promise<{ store: Store; stop: () => Promise<void> }> => {
  const deaf = Object.entries(messages)
    .filter(([, message]) => (message.to as readonly string[]).includes(name))
    .map(([message]) => [message, () => {}]);
  let store: Store | undefined;
  const running = await standUp(
    {
      name,
      routes: {},
      migrations: BOOKS,
      compose: (standing) => {
        store = standing.store;
        return {
          handlers: {},
          consumers: { ...Object.fromEntries(deaf), ...consumers } as unknown as Consumers<S>,
          schedule: [],
        };
      },
    },
    loadConfig(configShape, env),
    fail,
  );
  return { store: store as Store, stop: running.stop };
};

export const startPaymentsStandIn = async (directory: string, redisUrl: string) => {
  const behaviour = { isSilent: false };
  const { store, stop } = await startStandIn(
    'payments',
    serviceEnv('payments', directory, redisUrl),
    paymentsConsumers(behaviour),
  );
  const send = sendAs<'payments'>();
  return {
    stop,
    store,
    behaviour,
    credit: (caller: Caller, amount: number) =>
      store.transact('credit', (trx) => credit(trx, caller.account_id, toMinor(amount))),
    balance: async (caller: Caller): Promise<number> =>
      fromMinor(
        (
          await store.read.get(
            books.selectFrom('balance').selectAll().where('account_id', '=', caller.account_id),
          )
        )?.minor ?? 0,
      ),
    holds: () => store.read.all(books.selectFrom('hold').selectAll()),
    /** Everything that was ever credited: in balances, or held. */
    total: async (): Promise<number> =>
      (await store.read.all(books.selectFrom('balance').selectAll())).reduce(
        (sum, row) => sum + row.minor,
        0,
      ) +
      (await store.read.all(books.selectFrom('hold').selectAll().where('state', '=', 'held'))).reduce(
        (sum, row) => sum + row.amount_minor,
        0,
      ),
    /** Says, late, what it was silent about. */
    sayHeld: (orderId: string) =>
      store.transact('say', async (trx) => {
        const hold = await findHold(trx, orderId);
        if (hold?.state !== 'held') throw new Error('nothing is held');
        await send(trx, 'payments.booking_held', { order_id: orderId, payment_id: hold.payment_id });
      }),
  };
};
export type PaymentsStandIn = Awaited<ReturnType<typeof startPaymentsStandIn>>;

const startMinersStandIn = async (directory: string, redisUrl: string) => {
  const { store, stop } = await startStandIn('miners', serviceEnv('miners', directory, redisUrl), {});
  const send = sendAs<'miners'>();
  return {
    stop,
    say: (change: Pick<Payload<'miners.changed'>, 'miner_id' | 'account_id' | 'revision' | 'status'>) =>
      store.transact('say', (trx) =>
        send(trx, 'miners.changed', {
          capabilities: [],
          gpus: [],
          cuda_version: null,
          models: [],
          region: null,
          price_per_job_minor: 0,
          concurrency: 1,
          reputation: 1,
          ...change,
        }),
      ),
  };
};

/** The market with both neighbours played, on a broker and files of its own. */
export const startScene = async (env: Record<string, string> = {}) => {
  const redisUrl = await scratchRedis();
  const directory = scratchDirectory();
  const payments = await startPaymentsStandIn(directory, redisUrl);
  const miners = await startMinersStandIn(directory, redisUrl);
  const marketEnv = { ...serviceEnv('market', directory, redisUrl), ...env };
  let market: Running = await startMarket(loadConfig(configShape, marketEnv), fail);
  const call = (caller: Caller | null) => callerOf(market.url, caller);
  return {
    payments,
    miners,
    directory,
    marketEnv,
    call,
    get url() {
      return market.url;
    },
    restart: async (changes: Record<string, string> = {}) => {
      await market.stop();
      market = await startMarket(loadConfig(configShape, { ...marketEnv, ...changes }), fail);
    },
    /** A client with money. */
    client: async (amount = 1_000): Promise<Caller> => {
      const caller = someone(['client']);
      await payments.credit(caller, amount);
      return caller;
    },
    offer: async (owner: Caller, changes: Record<string, unknown> = {}) => {
      const reply = await call(owner).call(routes.market.register, {
        body: { ...OFFER, ...changes },
      });
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      return reply.body;
    },
    stop: async () => {
      await market.stop();
      await miners.stop();
      await payments.stop();
    },
  };
};
export type Scene = Awaited<ReturnType<typeof startScene>>;

export const OFFER = { model: 'RTX 4090', memory_gb: 24, region: 'eu-central', price_per_hour: 0.6 };
