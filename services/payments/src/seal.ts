import { failpoint, type Store, sendAs, type Trx } from '@aitbc/chassis';
import {
  blockHash,
  FIRST_BLOCK_HEIGHT,
  headerBytes,
  merkleLevels,
  merkleRoot,
  NO_BLOCK,
} from '@aitbc/contracts';
import type { Signer } from './signing.ts';
import { MINT, PLATFORM, TREASURY } from './store/accounts.ts';
import {
  accountBefore,
  addBlock,
  beginTerm,
  blocksFrom,
  findTip,
  moveSealed,
  sealedBalance,
  sealingTerm,
  transfersAfter,
} from './store/blocks.ts';
import { move, transferId } from './store/transfers.ts';

const send = sendAs<'payments'>();

/** A power of two: proofs of at most 12 hashes, and some 15 ms of hashing a block. */
const BLOCK_MAX = 4_096;
/** As the message's schema bounds it. */
const BALANCES_A_PART = 1_000;
/** Blocks told of again in one turn, and no more transfers in them than the largest block has. */
const AGAIN_MAX = 100;

type Row = Awaited<ReturnType<typeof transfersAfter>>[number];

const deltasOf = (rows: readonly Row[]): Map<number, number> => {
  const deltas = new Map<number, number>();
  const add = (id: number, minor: number) => deltas.set(id, (deltas.get(id) ?? 0) + minor);
  for (const row of rows) {
    add(row.debit, -row.amount_minor);
    add(row.credit, row.amount_minor);
  }
  return deltas;
};

interface Told {
  height: number;
  sealed_at_ms: number;
  supply_minor: number;
  treasury_minor: number;
}
type Balances = { account_id: string; balance_minor: number }[];

/** The same parts each time: who heard some of them before takes the others. */
const tell = async (trx: Trx, block: Told, balances: Balances): Promise<void> => {
  const parts = Math.max(1, Math.ceil(balances.length / BALANCES_A_PART));
  for (let part = 0; part < parts; part += 1) {
    const some = balances.slice(part * BALANCES_A_PART, (part + 1) * BALANCES_A_PART);
    await send(trx, 'payments.block_sealed', { ...block, part, parts, balances: some });
  }
};

const announce = async (
  trx: Trx,
  height: number,
  sealedAtMs: number,
  deltas: Map<number, number>,
): Promise<void> => {
  const balances: Balances = [];
  const moved = await moveSealed(
    trx,
    [...deltas].filter(([, delta]) => delta !== 0),
  );
  // As {@link announceAgain} has them: by their first transfer.
  const places = new Map([...deltas.keys()].map((id, place) => [id, place]));
  moved.sort((a, b) => (places.get(a.id) ?? 0) - (places.get(b.id) ?? 0));
  for (const { kind, account_id, sealed_minor } of moved)
    if (kind === 'user' && account_id !== null) balances.push({ account_id, balance_minor: sealed_minor });
  const supply_minor = -(await sealedBalance(trx, MINT.id));
  const treasury_minor = await sealedBalance(trx, TREASURY.id);
  await tell(trx, { height, sealed_at_ms: sealedAtMs, supply_minor, treasury_minor }, balances);
};

/**
 * Tells of sealed blocks again, word for word, from a height on: as many as one turn bears. Balances of back then are
 * those of now, less what moved since.
 */
export const announceAgain = async (trx: Trx, fromHeight: number): Promise<void> => {
  const blocks = await blocksFrom(trx, fromHeight, AGAIN_MAX);
  const startSeq = blocks[0]?.first_seq ?? 0;
  const accounts = new Map<number, NonNullable<Awaited<ReturnType<typeof accountBefore>>>>();
  const accountOf = async (id: number) => {
    const account = accounts.get(id) ?? (await accountBefore(trx, id, startSeq));
    if (account === undefined) throw new Error(`no account ${id}`);
    accounts.set(id, account);
    return account;
  };
  let transfers = 0;
  for (const { height, first_seq, tx_count, sealed_at_ms } of blocks) {
    transfers += tx_count;
    if (transfers > BLOCK_MAX && first_seq !== startSeq) return;
    const balances: Balances = [];
    for (const [id, delta] of deltasOf(await transfersAfter(trx, first_seq - 1, tx_count))) {
      if (delta === 0) continue;
      const account = await accountOf(id);
      account.balance_minor += delta;
      const { kind, account_id, balance_minor } = account;
      if (kind === 'user' && account_id !== null) balances.push({ account_id, balance_minor });
    }
    const supply_minor = -(await accountOf(MINT.id)).balance_minor;
    const treasury_minor = (await accountOf(TREASURY.id)).balance_minor;
    await tell(trx, { height, sealed_at_ms, supply_minor, treasury_minor }, balances);
  }
};

/**
 * Half of a block's fees, rounded down, go on to the treasury: a transfer of the next block. The platform always has
 * it, for nothing else leaves that account.
 */
const shareFees = async (trx: Trx, height: number, rows: readonly Row[], nowMs: number): Promise<void> => {
  const feesMinor = rows.reduce((sum, row) => sum + (row.kind === 'fee' ? row.amount_minor : 0), 0);
  const amount_minor = Math.floor(feesMinor / 2);
  if (amount_minor === 0) return;
  const reference = `block:${height}`;
  await move(trx, {
    id: transferId('treasury_share', reference),
    kind: 'treasury_share',
    reference,
    from: PLATFORM,
    to: TREASURY,
    amount_minor,
    now_ms: nowMs,
  });
};

/** Another process seals since then: what was worked out here is of no use any more. */
class TermOver extends Error {}

/**
 * Seals waiting transfers into one block. Transfers never change once committed, so all hashing is done outside the
 * transaction. Two processes may take themselves for the one that seals: only the newest term may, it alone signs, and the
 * schema refuses a block that does not follow the last.
 * @param term of this process
 * @returns how many transfers it sealed
 * @throws TermOver when a newer term has begun: nothing was signed
 */
export const sealBlock = async (
  store: Store,
  signer: Signer,
  term: number,
  nowMs: number,
): Promise<number> => {
  const tip = await findTip(store.read);
  const rows = await transfersAfter(store.read, tip?.last_seq ?? 0, BLOCK_MAX);
  const first = rows[0];
  const last = rows.at(-1);
  if (first === undefined || last === undefined) return 0;
  const header = {
    height: tip === undefined ? FIRST_BLOCK_HEIGHT : tip.height + 1,
    previous_hash: tip?.hash ?? NO_BLOCK,
    merkle_root: merkleRoot(merkleLevels(rows.map((row) => row.hash))).toString('hex'),
    tx_count: rows.length,
    // A clock that was set back must not make a block older than the one before it.
    timestamp_ms: Math.max(nowMs, tip?.sealed_at_ms ?? 0),
    proposer: signer.kid,
  };
  const hash = blockHash(header);
  const deltas = deltasOf(rows);
  await store.transact('block.seal', async (trx) => {
    if ((await sealingTerm(trx)) !== term) throw new TermOver('another process seals');
    const { timestamp_ms, ...columns } = header;
    await addBlock(trx, {
      ...columns,
      hash,
      signature: signer.sign(headerBytes(header)),
      sealed_at_ms: timestamp_ms,
      first_seq: first.seq,
      last_seq: last.seq,
    });
    await announce(trx, header.height, timestamp_ms, deltas);
    await shareFees(trx, header.height, rows, timestamp_ms);
    failpoint('seal:before-commit');
    trx.afterCommit(() => failpoint('seal:after-commit'));
  });
  return rows.length;
};

/** Seals all that waits, once the interval since the last block is over. Runs in the process that leads. */
export const createSealer = (
  store: Store,
  signer: Signer,
  options: { intervalMs: () => number; now: () => number },
) => {
  /** Null until this process seals, and again when another one took over. */
  let term: number | null = null;
  return async (signal: AbortSignal): Promise<void> => {
    const tip = await findTip(store.read);
    const nowMs = options.now();
    if (tip !== undefined && nowMs >= tip.sealed_at_ms && nowMs - tip.sealed_at_ms < options.intervalMs())
      return;
    try {
      let sealed = BLOCK_MAX;
      while (sealed === BLOCK_MAX && !signal.aborted) {
        term ??= await store.transact('block.begin_term', beginTerm);
        sealed = await sealBlock(store, signer, term, options.now());
      }
    } catch (error) {
      if (!(error instanceof TermOver)) throw error;
      // If it leads all the same, it begins a new one with its next turn.
      term = null;
    }
  };
};
