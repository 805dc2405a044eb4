import type { Dependencies, Handlers, Metrics, Reader, Scheduled, Standing, Store } from '@aitbc/chassis';
import { type exchangeRoutes, fromMinor, fromSats, SUPPLY_CAP_MINOR, toMinor } from '@aitbc/contracts';
import type { z } from 'zod';
import { findAccount, MINT } from '../store/accounts.ts';
import { beginChain } from './chain/chain.ts';
import { type ChainServer, serveChain } from './chain/server.ts';
import { collectDebt } from './commands/debts.ts';
import { expire } from './commands/expire.ts';
import { LOOK } from './commands/observe.ts';
import { type exchangeConfig, type Setup, setUp } from './config.ts';
import type { ExchangeDeps } from './deps.ts';
import {
  createClosedHandlers,
  createDebtHandlers,
  createDevHandlers,
  createExchangeHandlers,
  createNoDevHandlers,
} from './routes.ts';
import { readCursor } from './store/blocks.ts';
import { coveredDebts, totalOwed } from './store/debts.ts';
import { countByStatus, findDueToExpire, releaseAmounts } from './store/invoices.ts';
import { unclaimedSats } from './store/outputs.ts';
import { createWatch } from './watch.ts';
import { createCoreWatcher } from './watchers/core.ts';
import { createEsploraWatcher } from './watchers/esplora.ts';
import type { Watcher } from './watchers/watcher.ts';

const LOCAL_EVERY_MS = 500;
const REAL_EVERY_MS = 10_000;
const EXPIRE_EVERY_MS = 1_000;
const EXPIRE_BATCH = 200;
/** An amount on a shared address stands for its invoice so long after the invoice's end. */
const AMOUNT_KEPT_MS = 7 * 86_400_000;
const RELEASE_EVERY_MS = 60_000;
const RELEASE_BATCH = 1_000;
/** Money that came in pays what is owed so soon; until then it is blocked. */
const COLLECT_EVERY_MS = 1_000;
const COLLECT_BATCH = 100;

type Config = z.output<z.ZodObject<typeof exchangeConfig>> & { NODE_ENV: string };

/** The exchange as payments plugs it in. */
export interface Exchange {
  readonly handlers: Handlers<typeof exchangeRoutes>;
  readonly schedule: readonly Scheduled[];
  readonly dependencies: Dependencies;
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** @returns how many debts could be paid. */
const collectCovered = async (store: Store, now: () => number): Promise<number> => {
  const due = await coveredDebts(store.read, COLLECT_BATCH);
  await Promise.all(due.map((id) => store.transact('exchange.collect', (trx) => collectDebt(trx, now, id))));
  return due.length;
};

/** Debts outlive the taking of bitcoin. */
const collecting = (store: Store, now: () => number): Scheduled => ({
  name: 'exchange.collect',
  everyMs: COLLECT_EVERY_MS,
  run: async (signal) => {
    while (!signal.aborted && (await collectCovered(store, now)) === COLLECT_BATCH);
  },
});

const addDebtGauges = (metrics: Metrics, read: Reader): void => {
  metrics.gauge(
    'exchange_debt',
    'AITBC owed for bitcoin that left the chain after its credit; above 0 is an alarm',
    async () => fromMinor((await totalOwed(read)).minor),
  );
  metrics.gauge(
    'exchange_debts_open',
    'Credits that the chain took back and that nobody has made good yet; above 0 is an alarm',
    async () => (await totalOwed(read)).debts,
  );
};

const closed = (store: Store, now: () => number, missing: string): Exchange => ({
  handlers: { ...createClosedHandlers(missing), ...createDebtHandlers(store), ...createNoDevHandlers() },
  schedule: [collecting(store, now)],
  dependencies: {},
  start: async () => {},
  stop: async () => {},
});

/** The mint's balance is what exists, below zero. */
const mintableMinor = async (reader: Reader): Promise<number> =>
  SUPPLY_CAP_MINOR + ((await findAccount(reader, MINT.id))?.balance_minor ?? 0);

const expireDue = async (store: Store, deps: ExchangeDeps): Promise<number> => {
  const due = await findDueToExpire(store.read, deps.now(), EXPIRE_BATCH);
  await Promise.all(due.map((id) => store.transact('exchange.expire', (trx) => expire(trx, deps, id))));
  return due.length;
};

/** In development the watcher finds its node in this very process, over a socket like any other. */
const lazyWatcher = (make: () => Watcher): Watcher => {
  let made: Watcher | null = null;
  return {
    name: 'the local chain',
    asksByAddress: false,
    look: (request, signal) => {
      made ??= make();
      return made.look(request, signal);
    },
  };
};

type Open = Extract<Setup, { isOpen: true }>;

const open = (
  { store, log, metrics }: Pick<Standing<unknown>, 'store' | 'log' | 'metrics'>,
  deps: ExchangeDeps,
  { source, network }: Open,
): Exchange => {
  const isLocal = source.kind === 'local';
  let server: ChainServer | undefined;
  const watcher =
    source.kind === 'core'
      ? createCoreWatcher(source.url, network)
      : source.kind === 'esplora'
        ? createEsploraWatcher(source.url, network)
        : lazyWatcher(() => createCoreWatcher(server?.rpcUrl ?? '', network));
  const watch = createWatch(store, deps, watcher, log);

  for (const status of ['pending', 'processing', 'underpaid'] as const)
    metrics.gauge(`exchange_invoices_${status}`, `Bitcoin payments that are ${status}`, () =>
      countByStatus(store.read, status),
    );
  metrics.gauge(
    'exchange_last_block_height',
    'How far the Bitcoin chain was looked at',
    async () => (await readCursor(store.read))?.height ?? -1,
  );
  metrics.gauge(
    'exchange_unclaimed_btc',
    'Bitcoin on the shared address in amounts nobody was asked for: an operator decides',
    async () => fromSats(await unclaimedSats(store.read)),
  );

  return {
    handlers: {
      ...createExchangeHandlers(store, deps),
      ...createDebtHandlers(store),
      ...(isLocal ? createDevHandlers(deps) : createNoDevHandlers()),
    },
    schedule: [
      collecting(store, deps.now),
      { name: 'exchange.watch', everyMs: isLocal ? LOCAL_EVERY_MS : REAL_EVERY_MS, run: () => watch.run() },
      {
        name: 'exchange.expire',
        everyMs: EXPIRE_EVERY_MS,
        run: async (signal) => {
          while (!signal.aborted && (await expireDue(store, deps)) === EXPIRE_BATCH);
        },
      },
      {
        name: 'exchange.release_amounts',
        everyMs: RELEASE_EVERY_MS,
        run: async () => {
          await store.transact('exchange.release_amounts', (trx) =>
            releaseAmounts(trx, deps.now() - AMOUNT_KEPT_MS, RELEASE_BATCH),
          );
        },
      },
    ],
    dependencies: { bitcoin: { required: false, check: watch.trouble } },
    start: async () => {
      if (isLocal) {
        while (await store.transact('local_chain.begin', beginChain));
        const wake = () => void store.transact('local_chain.changed', (trx) => trx.notify(LOOK));
        server = await serveChain(store, { now: deps.now, changed: wake });
        log.info({ rpc: server.rpcUrl, esplora: server.esploraUrl }, 'local Bitcoin chain');
      }
      watch.start(!isLocal);
    },
    stop: async () => {
      await watch.stop();
      await server?.stop();
    },
  };
};

/**
 * Buying AITBC with bitcoin: invoices, the watching of the chain, and credits from the mint.
 * @throws ConfigError
 */
export const createExchange = (
  standing: Pick<Standing<Config>, 'config' | 'store' | 'log' | 'metrics'>,
  ledger: Pick<ExchangeDeps, 'now' | 'creditFromMint' | 'listeners'>,
): Exchange => {
  const { config } = standing;
  const setup = setUp(config);
  addDebtGauges(standing.metrics, standing.store.read);
  if (!setup.isOpen) return closed(standing.store, ledger.now, setup.missing);
  const deps: ExchangeDeps = {
    ...ledger,
    mintableMinor,
    network: setup.network,
    wallet: setup.wallet,
    rateMinor: toMinor(config.BTC_TO_AITBC_RATE),
    invoiceMs: config.BITCOIN_INVOICE_SECONDS * 1_000,
    quarantine: new Map(),
  };
  return open(standing, deps, setup);
};
