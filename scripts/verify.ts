import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import {
  type AuditEntry,
  type Block,
  createAuditChecker,
  createChainChecker,
  createClient,
  type Reply,
  routes,
  type SealedBlock,
  type SealedTransfer,
  type Transaction,
  toMinor,
} from '@aitbc/contracts';
import { keysOf, sayArchive } from './verify-archive.ts';

export interface Verdict {
  blocks: number;
  transactions: number;
  /** The first block that is not as it must be, and why. */
  wrong: { height: number; reason: string } | null;
  /** What exists, when the chain was replayed from its first block on. */
  supplyMinor: number | null;
}

const PAGE = 500;

/** Asks again as long as it is told to slow down. */
const patiently =
  (url: string) =>
  async <T extends { ok: boolean; status: number; headers: Headers; body: unknown }>(
    call: () => Promise<T>,
  ): Promise<Extract<T, { ok: true }>['body']> => {
    for (;;) {
      const reply = await call();
      if (reply.ok) return reply.body as Extract<T, { ok: true }>['body'];
      if (reply.status !== 429 && reply.status !== 503)
        throw new Error(`${url} answered ${reply.status}: ${JSON.stringify(reply.body)}`);
      const seconds = Number(reply.headers.get('retry-after') ?? 1);
      await new Promise((resolve) => setTimeout(resolve, Math.max(1, seconds) * 1_000));
    }
  };

/**
 * Checks the sealed ledger from `from` on, with nothing but what the public routes say: every hash, signature and link,
 * every transaction's inclusion proof, and (from 0) that nobody ever spent more than they had.
 */
export const verifyLedger = async (options: {
  url: string;
  from: number;
  headers?: Parameters<typeof createClient>[1];
  onProgress?: (done: { height: number; tip: number; transactions: number }) => void;
}): Promise<Verdict> => {
  const { from } = options;
  const client = createClient(options.url, options.headers ?? {});

  const ask = patiently(options.url);
  type BlocksQuery = { from_height: number; cursor: string | undefined };
  const blocksPage = (query: BlocksQuery) =>
    ask<Reply<typeof routes.payments.blocks>>(() =>
      client.call(routes.payments.blocks, {
        query: { order: 'oldest', limit: PAGE, from_height: query.from_height, cursor: query.cursor },
      }),
    );

  async function* blocks(): AsyncGenerator<Block> {
    let cursor: string | undefined;
    do {
      const page = await blocksPage({ from_height: from, cursor });
      yield* page.items;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }
  async function* transactions(): AsyncGenerator<Transaction> {
    let cursor: string | undefined;
    do {
      const at = cursor;
      const page = await ask<Reply<typeof routes.payments.transactions>>(() =>
        client.call(routes.payments.transactions, {
          query: { order: 'oldest', limit: PAGE, from_block: from, proofs: 'true', cursor: at },
        }),
      );
      yield* page.items;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }

  const { keys } = await ask<Reply<typeof routes.payments.keys>>(() => client.call(routes.payments.keys, {}));
  const newest = await ask<Reply<typeof routes.payments.blocks>>(() =>
    client.call(routes.payments.blocks, { query: { limit: 1 } }),
  );
  const tip = newest.items[0]?.height ?? -1;
  const verdict: Verdict = { blocks: 0, transactions: 0, wrong: null, supplyMinor: null };
  if (tip < from) return verdict;

  const checker = createChainChecker(keys);
  const fail = (height: number, reason: string): Verdict => ({ ...verdict, wrong: { height, reason } });
  if (from > 0) {
    const before = (await blocksPage({ from_height: from - 1, cursor: undefined })).items[0];
    if (before?.height !== from - 1) return fail(from - 1, 'is missing');
    const reason = checker.startAfter(toSealed(before));
    if (reason !== null) return fail(from - 1, reason);
  }
  const waiting = transactions();
  let expected = from;
  for await (const block of blocks()) {
    if (block.height !== expected) return fail(expected, 'is missing');
    const held: SealedTransfer[] = [];
    while (held.length < block.tx_count) {
      const next = await waiting.next();
      if (next.done === true) break;
      if (next.value.block_height !== block.height)
        return fail(block.height, `holds ${held.length} transactions, its header says ${block.tx_count}`);
      held.push(toSealedTransfer(next.value));
    }
    const reason = checker.check(toSealed(block), held);
    if (reason !== null) return fail(block.height, reason);
    expected += 1;
    verdict.blocks += 1;
    verdict.transactions += held.length;
    options.onProgress?.({ height: block.height, tip, transactions: verdict.transactions });
    // What is sealed while this runs waits for the next run.
    if (block.height >= tip) break;
  }
  if (expected <= tip) return fail(expected, 'is missing');
  const balances = checker.balances();
  if (balances !== null)
    verdict.supplyMinor = [...balances.values()].reduce((sum, minor) => sum + Math.max(0, minor), 0);
  return verdict;
};

export interface AuditVerdict {
  entries: number;
  /** The hash of the newest entry; null of an empty log. Kept elsewhere, it shows any later change before it. */
  head: string | null;
  wrong: { seq: number; reason: string } | null;
}

/**
 * Checks the audit log, from the newest entry back to the first, with an operator's key.
 * @param options.known the head of an earlier check: it must still be there
 */
export const verifyAudit = async (options: {
  url: string;
  headers: Parameters<typeof createClient>[1];
  known?: string | undefined;
}): Promise<AuditVerdict> => {
  const client = createClient(options.url, options.headers);
  const ask = patiently(options.url);
  const checker = createAuditChecker();
  const verdict: AuditVerdict = { entries: 0, head: null, wrong: null };
  let last: AuditEntry | undefined;
  let isKnownThere = options.known === undefined;
  let cursor: string | undefined;
  do {
    const query = { limit: PAGE, cursor };
    const page = await ask<Reply<typeof routes.gateway.audit>>(() =>
      client.call(routes.gateway.audit, { query }),
    );
    for (const entry of page.items) {
      const reason = checker.check(entry);
      if (reason !== null) return { ...verdict, wrong: { seq: entry.seq, reason } };
      verdict.head ??= entry.hash;
      verdict.entries += 1;
      isKnownThere ||= entry.hash === options.known;
      last = entry;
    }
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined);
  if (!checker.isWhole())
    return { ...verdict, wrong: { seq: (last?.seq ?? 1) - 1, reason: 'it is missing' } };
  if (!isKnownThere) return { ...verdict, wrong: { seq: 0, reason: 'the entry that was known is gone' } };
  return verdict;
};

const toSealed = ({ timestamp, ...block }: Block): SealedBlock => ({
  ...block,
  timestamp_ms: Date.parse(timestamp),
});

const toSealedTransfer = (transaction: Transaction): SealedTransfer => ({
  id: transaction.id,
  hash: transaction.hash,
  from: transaction.from,
  to: transaction.to,
  amount_minor: toMinor(transaction.value),
  kind: transaction.kind,
  reference: transaction.reference,
  timestamp_ms: Date.parse(transaction.timestamp),
  block_height: transaction.block_height,
  proof: transaction.proof ?? null,
});

const HELP = `Checks the sealed ledger of a coordinator, from its public routes alone; or an archive of its jobs.

  npm run verify -- [--from HEIGHT] [--url URL]
  npm run verify -- --archive file:///FOLDER|s3://BUCKET/PREFIX [--archive-head HASH] [--url URL]

  --from   the first block to check (0); from 0 on, every balance is replayed too
  --url    the coordinator (API_URL, or http://127.0.0.1:8000)
  --key    an API key, for its higher rate limit (AITBC_API_KEY); with an operator's, the audit log is checked too
  --archive      instead of the ledger: the archive's manifest, its parts, and receipts against rows; with --url signatures too.
                 A bucket is read with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
  --archive-head the newest hash of the archive that an earlier run said: it must still be there
  --audit-head  the newest hash of the audit log that an earlier run said: it must still be there

Ends with 0 when all is right, 1 when something is wrong, 2 when it could not be checked.`;

/** @returns the code to end with */
const sayAudit = async (
  url: string,
  headers: Record<string, string>,
  known: string | undefined,
): Promise<number> => {
  const first = await createClient(url, headers).call(routes.gateway.audit, { query: { limit: 1 } });
  if (first.status === 403) {
    if (known !== undefined) throw new Error('--audit-head takes an operator’s key');
    console.log('The audit log is not checked: that takes an operator’s key.');
    return 0;
  }
  const { entries, head, wrong } = await verifyAudit({ url, headers, known });
  if (wrong !== null) {
    console.error(`Entry ${wrong.seq} of the audit log is wrong: ${wrong.reason}.`);
    return 1;
  }
  console.log(`${entries} entries of the audit log are right; the newest is ${head}.`);
  return 0;
};

const main = async (): Promise<number> => {
  const { values } = parseArgs({
    options: {
      from: { type: 'string', default: '0' },
      url: { type: 'string' },
      key: { type: 'string', default: process.env.AITBC_API_KEY ?? '' },
      'audit-head': { type: 'string' },
      archive: { type: 'string' },
      'archive-head': { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const given = values.url?.replace(/\/$/, '');
  if (values.archive !== undefined)
    return sayArchive({
      url: values.archive.includes('://') ? values.archive : pathToFileURL(values.archive).href,
      keys: process.env,
      jwks: given === undefined ? undefined : await keysOf(given),
      known: values['archive-head'],
    });
  const from = Number(values.from);
  if (!Number.isSafeInteger(from) || from < 0) throw new Error(`--from ${values.from} is not a height`);
  const startedAt = performance.now();
  const isTerminal = process.stdout.isTTY;
  let shownAt = 0;
  const show = ({ height, tip, transactions }: { height: number; tip: number; transactions: number }) => {
    const now = performance.now();
    if (height < tip && now - shownAt < (isTerminal ? 100 : 5_000)) return;
    shownAt = now;
    const line = `block ${height} of ${tip}, ${transactions} transactions checked`;
    if (isTerminal) process.stdout.write(`\r\x1b[K${line}`);
    else console.log(line);
  };
  const url = given ?? process.env.API_URL ?? 'http://127.0.0.1:8000';
  const headers = values.key === '' ? {} : { 'x-api-key': values.key };
  const verdict = await verifyLedger({
    url,
    from,
    headers,
    onProgress: show,
  });
  if (isTerminal) process.stdout.write('\n');
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  if (verdict.wrong !== null) {
    console.error(`Block ${verdict.wrong.height} is wrong: ${verdict.wrong.reason}.`);
    return 1;
  }
  console.log(
    `${verdict.blocks} blocks and ${verdict.transactions} transactions with their proofs are right (${seconds} s).`,
  );
  return values.key === '' ? 0 : await sayAudit(url, headers, values['audit-head']);
};

if (import.meta.main) {
  process.exitCode = await main().catch((error: unknown) => {
    console.error((error as Error).message);
    return 2;
  });
}
