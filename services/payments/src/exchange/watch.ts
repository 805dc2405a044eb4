import { failpoint, type Log, type Reader, type Store } from '@aitbc/chassis';
import { bringsNews, LOOK, noteAsked, observe } from './commands/observe.ts';
import type { ExchangeDeps } from './deps.ts';
import { hashAt, readCursor } from './store/blocks.ts';
import { findToAsk, hasScript, oldestOpenMs } from './store/invoices.ts';
import { type AddressRequest, type LookRequest, SourceError, type Watcher } from './watchers/watcher.ts';

/** Addresses asked about in one look: at 10 s a look some 3 requests a second, what public servers bear. */
const ADDRESSES_MAX = 30;
/** An address without open payment is asked about so often, and for so long after its time. */
const RESTING_MS = 10 * 60_000;
const ASKED_FOR_MS = 30 * 86_400_000;
/** Without news everything is worked out anew so often: the net under everything. */
const RECONCILE_MS = 30_000;
/** Looks one after the other while there is more to read, before the schedule gets its turn. */
const LOOKS_IN_A_ROW = 50;

const addressesToAsk = async (reader: Reader, deps: ExchangeDeps): Promise<AddressRequest[]> => {
  const { wallet } = deps;
  const own = (
    await findToAsk(reader, {
      nowMs: deps.now(),
      restMs: RESTING_MS,
      keptMs: ASKED_FOR_MS,
      limit: ADDRESSES_MAX,
    })
  ).map((row) => ({ ...row, isShared: false }));
  return wallet.kind === 'shared'
    ? [{ address: wallet.address, script: wallet.script, isShared: true }, ...own]
    : own;
};

/** What a look starts from, read off the file. */
export const lookRequest = async (
  reader: Reader,
  deps: ExchangeDeps,
  asksByAddress: boolean,
): Promise<LookRequest> => {
  const cursor = await readCursor(reader);
  return {
    cursor,
    hashAt: (height) => hashAt(reader, height),
    // Of use to the first look alone, and not cheap.
    since_ms: (cursor === null ? await oldestOpenMs(reader) : null) ?? deps.now(),
    isWatched: async (script) =>
      (deps.wallet.kind === 'shared' && script === deps.wallet.script) || (await hasScript(reader, script)),
    addresses: asksByAddress ? await addressesToAsk(reader, deps) : [],
  };
};

/**
 * Looks at the chain and applies what was found: the network first, then one transaction. Woken when somebody knows of
 * news; one look at a time.
 */
export const createWatch = (store: Store, deps: ExchangeDeps, watcher: Watcher, log: Log) => {
  const stopping = new AbortController();
  let running: Promise<void> | null = null;
  let isWoken = false;
  let reconciledAt = Number.NEGATIVE_INFINITY;
  let trouble: string | null = `${watcher.name} has not answered yet`;

  /** @returns whether there is more to read at once. */
  const lookOnce = async (): Promise<boolean> => {
    const request = await lookRequest(store.read, deps, watcher.asksByAddress);
    const look = await watcher.look(request, stopping.signal);
    failpoint('exchange:looked');
    const isDue = performance.now() - reconciledAt > RECONCILE_MS;
    const isNews = isDue || (await bringsNews(store.read, look));
    if (isNews) {
      await store.transact('exchange.observe', async (trx) => {
        await observe(trx, deps, look);
        await noteAsked(
          trx,
          deps,
          request.addresses.map(({ script }) => script),
        );
      });
      if (isDue) reconciledAt = performance.now();
    } else if (request.addresses.length > 0) {
      await store.transact('exchange.note_asked', (trx) =>
        noteAsked(
          trx,
          deps,
          request.addresses.map(({ script }) => script),
        ),
      );
    }
    return look.blocks.length > 1;
  };

  const drain = async (): Promise<void> => {
    do {
      isWoken = false;
      try {
        for (let looks = 0; looks < LOOKS_IN_A_ROW; looks += 1) {
          const hasMore = await lookOnce();
          if (trouble !== null) log.info({ source: watcher.name }, 'watching the chain');
          trouble = null;
          if (!hasMore || stopping.signal.aborted) break;
        }
      } catch (error) {
        if (stopping.signal.aborted) return;
        if (!(error instanceof SourceError)) throw error;
        const last = await readCursor(store.read);
        const message = `${error.message}; last block seen: ${last === null ? 'none' : last.height}`;
        if (message !== trouble) log.warn({ source: watcher.name }, message);
        trouble = message;
      }
    } while (isWoken && !stopping.signal.aborted);
  };

  const run = (): Promise<void> => {
    isWoken = true;
    running ??= drain().finally(() => {
      running = null;
    });
    return running;
  };

  let unsubscribe = (): void => {};
  return {
    run,
    /** Null when the chain is seen, or another process looks at it; else a sentence. */
    trouble: () => (store.leads() ? trouble : null),
    /**
     * @param asksStrangers where rows are shared, listeners are called every 2 s, for nothing mostly: a public server is
     *   asked by the schedule alone then
     */
    start: (asksStrangers: boolean): void => {
      if (asksStrangers && store.isShared) return;
      unsubscribe = store.subscribe(LOOK, () => {
        if (!store.leads()) return;
        reconciledAt = Number.NEGATIVE_INFINITY;
        // It comes back with the schedule.
        run().catch((error) => log.error({ err: error }, 'watching failed'));
      });
    },
    stop: async (): Promise<void> => {
      stopping.abort();
      unsubscribe();
      await running?.catch(() => {});
    },
  };
};
