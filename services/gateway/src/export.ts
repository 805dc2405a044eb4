import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { createShare, type Handlers, type Log } from '@aitbc/chassis';
import {
  type AnyRoute,
  type Caller,
  type ExportLine,
  type exportRoutes,
  mayCall,
  Problem,
  routes,
} from '@aitbc/contracts';
import type { Services } from './services.ts';
import type { Upstream } from './targets.ts';

interface Page {
  readonly items: readonly Record<string, unknown>[];
  readonly next_cursor: string | null;
}
/** Asks for a page after `cursor`; without one for the first. */
type AskPage = (cursor: string | undefined) => Promise<Page>;
type Row = Page['items'][number];

/** As many as a list gives at most; it ends a page at 256 KB, or after one longer item. */
const PAGE = 500;
/** All together, in one process: each holds a page. */
const EXPORTS_MAX = 8;
const RETRY_SECONDS = 30;
/** A service that restarts is away for a few seconds: 6.3 s of trying, twice as long from one to the next. */
const TRIES = 7;
const TRY_AGAIN_MS = 100;
/** A reader that takes nothing for so long is gone: it holds one of the few places. */
const SILENCE_MS = 60_000;

const lineOf = (type: ExportLine['type'], data: unknown): string => `${JSON.stringify({ type, data })}\n`;

/** An export: the lists of all services, one after the other, as the caller itself may read them. */
export const exportHandlers = (options: {
  services: Pick<Services, 'askAs'>;
  log: Log;
  /** The gateway's own: who it is, its keys and its webhooks. */
  own: {
    readonly me: (caller: Caller) => Promise<unknown>;
    readonly keys: (caller: Caller, query: { limit: number; cursor: string | undefined }) => Promise<Page>;
    readonly webhooks: (
      caller: Caller,
      query: { limit: number; cursor: string | undefined },
    ) => Promise<Page>;
  };
}): Handlers<typeof exportRoutes> => {
  const { services, own, log } = options;
  const ofAccount = createShare({
    max: 1,
    code: 'EXPORT_RUNNING',
    what: 'exports',
    retryAfterSeconds: RETRY_SECONDS,
  });
  let running = 0;

  const ask = async (caller: Caller, service: Upstream, path: string, signal: AbortSignal) => {
    for (let tries = 1; ; tries += 1) {
      signal.throwIfAborted();
      const answer = await services.askAs(caller, service, path).catch((error: Error) => error);
      if (!(answer instanceof Error) && answer.ok) return (await answer.json()) as Page;
      if (tries === TRIES) throw new Problem('SERVICE_UNAVAILABLE', `${service} does not answer.`);
      await sleep(TRY_AGAIN_MS * 2 ** (tries - 1), undefined, { signal });
    }
  };

  async function* rowsOf(askPage: AskPage): AsyncGenerator<Row> {
    let cursor: string | undefined;
    do {
      const { items, next_cursor } = await askPage(cursor);
      yield* items;
      cursor = next_cursor ?? undefined;
    } while (cursor !== undefined);
  }

  /** What may be long is read in pages, and the next one when the reader took the one before. */
  async function* sections(
    caller: Caller,
    signal: AbortSignal,
    leaveOut: (type: string) => void,
  ): AsyncGenerator<readonly [ExportLine['type'], unknown]> {
    const pagesOf =
      (service: Upstream, path: string): AskPage =>
      (cursor) =>
        ask(caller, service, `${path}?limit=${PAGE}${cursor ? `&cursor=${cursor}` : ''}`, signal);
    async function* list(type: ExportLine['type'], route: AnyRoute, askPage?: AskPage) {
      if (!mayCall(route, caller)) return leaveOut(type);
      for await (const row of rowsOf(askPage ?? pagesOf(route.service as Upstream, route.path)))
        yield [type, row] as const;
    }
    yield ['account', await own.me(caller)];
    yield* list('api_key', routes.gateway.listKeys, (cursor) => own.keys(caller, { limit: PAGE, cursor }));
    for await (const [type, job] of list('job', routes.jobs.list)) {
      yield [type, job];
      if (job.status !== 'completed') continue;
      const path = routes.jobs.receipts.path.replace(':job_id', String(job.id));
      const { items } = await ask(caller, 'jobs', path, signal);
      // The result stands in the job.
      for (const { result: _result, ...receipt } of items) yield ['receipt', receipt];
    }
    yield* list('transaction', routes.payments.statement);
    yield* list('exchange_payment', routes.payments.exchangeList);
    yield* list('order', routes.market.orders);
    yield* list('miner', routes.miners.me);
    for await (const proposal of rowsOf(pagesOf('governance', routes.governance.list.path))) {
      const path = routes.governance.votes.path.replace(':proposal_id', String(proposal.id));
      const { items } = await ask(caller, 'governance', `${path}?voter_id=${caller.account_id}`, signal);
      for (const vote of items) yield ['vote', vote];
    }
    yield* list('webhook', routes.gateway.listWebhooks, (cursor) =>
      own.webhooks(caller, { limit: PAGE, cursor }),
    );
  }

  async function* lines(caller: Caller, signal: AbortSignal): AsyncGenerator<string> {
    const counts: Record<string, number> = {};
    const leftOut: string[] = [];
    try {
      for await (const [type, data] of sections(caller, signal, (type) => leftOut.push(type))) {
        counts[type] = (counts[type] ?? 0) + 1;
        yield lineOf(type, data);
      }
      yield lineOf('end', { counts, left_out: leftOut });
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Problem)) log.error({ err: error }, 'export failed');
      const { code, message } =
        error instanceof Problem ? error : new Problem('INTERNAL_ERROR', 'Something went wrong here.');
      yield lineOf('error', { code, message });
    }
  }

  return {
    export: async ({ caller, response, signal }) => {
      if (running >= EXPORTS_MAX)
        throw new Problem('OVERLOADED', 'Too many exports run here; try again later.', {
          retryAfterSeconds: RETRY_SECONDS,
        });
      const giveBack = ofAccount.take(caller.account_id);
      running += 1;
      try {
        response
          .status(200)
          .type('application/x-ndjson')
          .setHeader('content-disposition', 'attachment; filename="export.ndjson"')
          .setHeader('cache-control', 'no-store');
        response.setTimeout(SILENCE_MS, () => response.destroy());
        // One line ahead of the reader, and no more.
        await pipeline(Readable.from(lines(caller, signal), { highWaterMark: 1 }), response);
      } catch {
        // The reader went away.
      } finally {
        running -= 1;
        giveBack();
      }
      return null;
    },
  };
};
