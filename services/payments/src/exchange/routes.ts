import { type Handlers, pageOf, type Store, waitFor } from '@aitbc/chassis';
import {
  type Caller,
  CONFIRMATIONS,
  type exchangeRoutes,
  fromMinor,
  fromSats,
  INVOICE_SATS_MIN,
  invalidField,
  MAX_AMOUNT,
  notFound,
  Problem,
  toSats,
} from '@aitbc/contracts';
import { mine, Rejected } from './chain/chain.ts';
import { pay } from './chain/faucet.ts';
import { findTip } from './chain/store.ts';
import { createInvoice, prepareAddress } from './commands/create.ts';
import { LOOK } from './commands/observe.ts';
import type { ExchangeDeps } from './deps.ts';
import { inverseRate } from './domain/amounts.ts';
import { listDebts } from './store/debts.ts';
import { findInvoice, type Invoice, invoiceTopic, listInvoices } from './store/invoices.ts';
import { qrDataUri } from './uri.ts';
import { toDebt, toExchangePayment, toExchangeStatus } from './views.ts';
import { scriptOf } from './wallet.ts';

type Routes = typeof exchangeRoutes;
type DevRoutes = Pick<Routes, 'devBitcoinSend' | 'devBitcoinMine'>;
type PublicRoutes = Omit<Routes, keyof DevRoutes | 'exchangeDebts'>;

/** A missing setting does not mend itself. */
const RETRY_SECONDS = 600;

const visible = (caller: Caller, invoice: Invoice | undefined): Invoice => {
  if (invoice === undefined || (invoice.account_id !== caller.account_id && !caller.scopes.includes('admin')))
    throw notFound('payment');
  return invoice;
};

const cursorOf = (id: string): string => Buffer.from(id).toString('base64url');
const idIn = (cursor: string | undefined): string | undefined => {
  if (cursor === undefined) return undefined;
  const id = Buffer.from(cursor, 'base64url').toString();
  if (!/^[0-9a-f-]{36}$/.test(id)) throw invalidField('query.cursor', 'is not a cursor of this list');
  return id;
};

export const createExchangeHandlers = (store: Store, deps: ExchangeDeps): Handlers<PublicRoutes> => {
  const { read } = store;
  return {
    exchangeCreate: async (context) => {
      await prepareAddress(read, deps);
      const reply = await context.write(async (trx) => ({
        status: 201,
        body: {
          ...toExchangePayment(await createInvoice(trx, deps, context.caller.account_id, context.body)),
          qr: '',
        },
      }));
      // Drawn outside the transaction, and not kept with the answer: it is the URI once more.
      return { ...reply, body: { ...reply.body, qr: qrDataUri(reply.body.uri) } };
    },
    exchangeStatus: async ({ caller, params, query, signal }) => {
      const { payment_id } = params;
      const invoice = visible(caller, await findInvoice(read, payment_id));
      if (query.wait_seconds > 0 && invoice.credited_at_ms === null) {
        await waitFor(
          store,
          invoiceTopic(payment_id),
          async () => (await findInvoice(read, payment_id))?.version !== invoice.version || undefined,
          { withinMs: query.wait_seconds * 1_000, gone: [signal] },
        );
      }
      return {
        status: 200,
        body: await toExchangeStatus(read, (await findInvoice(read, payment_id)) as Invoice),
      };
    },
    exchangeList: async ({ caller, query }) => {
      const rows = await listInvoices(read, {
        account_id: caller.account_id,
        status: query.status,
        before: idIn(query.cursor),
        limit: query.limit + 1,
      });
      const body = await pageOf(
        rows,
        query.limit,
        (invoice) => toExchangeStatus(read, invoice),
        (last) => cursorOf(last.id),
      );
      return { status: 200, body };
    },
    exchangeRates: () => ({
      status: 200,
      body: {
        btc_to_aitbc: fromMinor(deps.rateMinor),
        aitbc_to_btc: inverseRate(deps.rateMinor),
        fee_percent: 0,
        min_btc: fromSats(INVOICE_SATS_MIN),
        max_aitbc: MAX_AMOUNT,
        confirmations: [...CONFIRMATIONS],
        expires_in_seconds: deps.invoiceMs / 1_000,
        network: deps.network,
      },
    }),
  };
};

/** What is owed is shown wherever it came from, also where bitcoin is no longer taken. */
export const createDebtHandlers = ({ read }: Store): Handlers<Pick<Routes, 'exchangeDebts'>> => ({
  exchangeDebts: async ({ query }) => {
    const rows = await listDebts(read, {
      status: query.status,
      before: idIn(query.cursor),
      limit: query.limit + 1,
    });
    return { status: 200, body: await pageOf(rows, query.limit, toDebt, (last) => cursorOf(last.id)) };
  },
});

/** Where bitcoin is not taken: every route says so. */
export const createClosedHandlers = (missing: string): Handlers<PublicRoutes> => {
  const refuse = (): never => {
    throw new Problem(
      'SERVICE_UNAVAILABLE',
      `Bitcoin is not taken here: the operator has not configured ${missing}.`,
      { retryAfterSeconds: RETRY_SECONDS },
    );
  };
  return { exchangeCreate: refuse, exchangeStatus: refuse, exchangeList: refuse, exchangeRates: refuse };
};

/** Drive the local chain. */
export const createDevHandlers = (deps: ExchangeDeps): Handlers<DevRoutes> => ({
  devBitcoinSend: (context) => {
    const { body, caller } = context;
    return context.write(async (trx) => {
      const invoice =
        body.payment_id === undefined ? null : visible(caller, await findInvoice(trx, body.payment_id));
      const address = invoice?.address ?? body.address ?? '';
      const script = invoice?.script ?? scriptOf(address, deps.network);
      if (script === null) throw invalidField('address', `is not an address on ${deps.network}`);
      const sats =
        body.btc_amount !== undefined
          ? toSats(body.btc_amount)
          : invoice === null
            ? 0
            : toSats((await toExchangeStatus(trx, invoice)).remaining);
      if (sats <= 0) throw invalidField('btc_amount', 'is required: nothing is missing');
      try {
        const { tx, fee_sats } = await pay(trx, { script, sats });
        trx.notify(LOOK);
        return {
          status: 201,
          body: { txid: tx.txid, address, btc_amount: fromSats(sats), fee_btc: fromSats(fee_sats) },
        };
      } catch (error) {
        if (error instanceof Rejected)
          throw invalidField('btc_amount', `the network refuses: ${error.message}`);
        throw error;
      }
    });
  },
  devBitcoinMine: (context) =>
    context.write(async (trx) => {
      const block_hashes = await mine(trx, { blocks: context.body.blocks, nowMs: deps.now() });
      trx.notify(LOOK);
      return { status: 201, body: { height: (await findTip(trx))?.height ?? 0, block_hashes } };
    }),
});

export const createNoDevHandlers = (): Handlers<DevRoutes> => {
  const refuse = (): never => {
    throw new Problem('NOT_FOUND', 'No such route.');
  };
  return { devBitcoinSend: refuse, devBitcoinMine: refuse };
};
