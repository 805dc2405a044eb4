import { failpoint, type Reader, type Trx } from '@aitbc/chassis';
import type { ExchangeDeps } from '../deps.ts';
import { OUTPUT, type OutputEvent } from '../domain/output.ts';
import { moveCursor, noteBlocks, readCursor } from '../store/blocks.ts';
import { createExposure, type Exposure } from '../store/exposure.ts';
import { findInvoice, findRootFor, findUnfinished, noteLooked } from '../store/invoices.ts';
import {
  addOutput,
  findOutput,
  moveOutput,
  type Output,
  outputsAbove,
  unconfirmedOutputs,
} from '../store/outputs.ts';
import { BLOCK_TIME_SKEW_MS, type Look, type Sighting } from '../watchers/watcher.ts';
import { openDebt, returnDebts } from './debts.ts';
import { openInvoiceOf } from './follow-up.ts';
import { adopt, refresh, type Standpoint } from './refresh.ts';

/** The store's topic that says: a look at the chain is of use now. */
export const LOOK = 'exchange.look';

/** Confirmed outputs deeper than this are not asked for again: no reorganisation reaches there. */
const REORG_DEPTH = 100;

const keyOf = (output: { txid: string; vout: number }): string => `${output.txid}:${output.vout}`;

/** Known outputs that this look shows to have lost their place, and what befell them, in order. */
const losses = async (reader: Reader, look: Look): Promise<[Output, OutputEvent[]][]> => {
  const seen = new Map(look.sightings.map((sighting) => [keyOf(sighting), sighting]));
  const found: [Output, OutputEvent[]][] = [];
  for (const output of await outputsAbove(
    reader,
    Math.min(look.fork_height ?? Number.MAX_SAFE_INTEGER, look.tip.height - REORG_DEPTH),
  )) {
    const sighting = seen.get(keyOf(output));
    const isForked = look.fork_height !== null && (output.block_height ?? 0) > look.fork_height;
    const isMissing = look.wouldShow(output) && (sighting === undefined || sighting.block === null);
    if (!isForked && !isMissing) continue;
    const isGone =
      sighting === undefined && look.wouldShow({ ...output, state: 'reorged', block_height: null });
    found.push([output, isGone ? ['reorged_out', 'replaced'] : ['reorged_out']]);
  }
  for (const output of await unconfirmedOutputs(reader))
    if (!seen.has(keyOf(output)) && look.wouldShow(output)) found.push([output, ['replaced']]);
  return found;
};

const isNew = async (reader: Reader, sighting: Sighting): Promise<boolean> => {
  const known = await findOutput(reader, sighting.txid, sighting.vout);
  return (
    known === undefined ||
    (sighting.block === null
      ? known.state === 'reorged' || known.state === 'replaced'
      : known.block_hash !== sighting.block.hash)
  );
};

const standpoint = (look: Look, exposure: Exposure, script: string): Standpoint => ({
  tipHeight: look.tip.height,
  mayCredit: look.vouchesFor(script),
  exposure,
});

/** Would the look change anything? One that would not costs no transaction. */
export const bringsNews = async (reader: Reader, look: Look): Promise<boolean> => {
  if ((await readCursor(reader))?.hash !== look.tip.hash) return true;
  for (const sighting of look.sightings) if (await isNew(reader, sighting)) return true;
  return (await losses(reader, look)).length > 0;
};

/** What is known of an output is what was seen first, on the earliest of our clock and its block's. */
const seenAt = (sighting: Sighting, nowMs: number): number =>
  Math.min(nowMs, sighting.block?.time_ms ?? nowMs);

/** Takes one event of a known output in; one that was credited and leaves the chain is owed. @returns the output as it stands then */
const take = async (
  trx: Trx,
  deps: ExchangeDeps,
  output: Output,
  event: OutputEvent,
  sighting: Sighting | null,
): Promise<Output> => {
  const nowMs = deps.now();
  const next = OUTPUT[output.state][event];
  if (next === 'ignore') return output;
  const block = next === 'confirmed' ? (sighting?.block ?? null) : null;
  const firstSeenMs =
    sighting === null ? output.first_seen_ms : Math.min(output.first_seen_ms, seenAt(sighting, nowMs));
  if ((await moveOutput(trx, output, next, block, firstSeenMs)) !== 1)
    throw new Error(`output ${keyOf(output)} moved meanwhile`);
  const moved = (await findOutput(trx, output.txid, output.vout)) as Output;
  if (moved.is_credited === 1 && moved.state !== 'confirmed') await openDebt(trx, deps, moved);
  return moved;
};

/** The invoice family that a new output pays; null for none. What is older than the invoice was meant for somebody else. */
const payee = async (trx: Trx, sighting: Sighting): Promise<string | null> => {
  const rootId = await findRootFor(trx, sighting.script, sighting.value_sats);
  if (rootId === null || sighting.block === null) return rootId;
  const root = await findInvoice(trx, rootId);
  return root !== undefined && sighting.block.time_ms >= root.created_at_ms - BLOCK_TIME_SKEW_MS
    ? rootId
    : null;
};

/** Keeps an output that is seen for the first time, with the invoice it pays. */
const meet = async (trx: Trx, deps: ExchangeDeps, sighting: Sighting, nowMs: number): Promise<Output> => {
  const rootId = await payee(trx, sighting);
  const next = OUTPUT.unseen[sighting.block === null ? 'seen' : 'confirmed'];
  if (next === 'ignore') throw new Error('an output that is seen is known');
  await addOutput(trx, {
    txid: sighting.txid,
    vout: sighting.vout,
    invoice_id: rootId === null ? null : (await openInvoiceOf(trx, deps, rootId)).id,
    script: sighting.script,
    value_sats: sighting.value_sats,
    first_seen_ms: seenAt(sighting, nowMs),
    state: next,
    block: sighting.block,
  });
  return (await findOutput(trx, sighting.txid, sighting.vout)) as Output;
};

/**
 * Applies what a look found, whole or not at all. A look that did not start from where we stand (an older one, one given
 * twice) is dropped: the next begins from here.
 * @returns false when it was dropped
 */
export const observe = async (trx: Trx, deps: ExchangeDeps, look: Look): Promise<boolean> => {
  const base = await readCursor(trx);
  if (base?.hash !== look.base?.hash || base?.height !== look.base?.height) return false;
  const nowMs = deps.now();
  const touched = new Set<string>();
  const lost = await losses(trx, look);

  if (!(await moveCursor(trx, base, look.tip))) return false;
  await noteBlocks(trx, look.fork_height, look.blocks, look.tip);
  for (const [output, events] of lost) {
    let current = output;
    for (const event of events) current = await take(trx, deps, current, event, null);
    if (current.invoice_id !== null) touched.add(current.invoice_id);
  }
  const seen: Output[] = [];
  for (const sighting of look.sightings) {
    const known = await findOutput(trx, sighting.txid, sighting.vout);
    const event = sighting.block === null ? 'seen' : 'confirmed';
    const output =
      known === undefined
        ? await meet(trx, deps, sighting, nowMs)
        : await take(trx, deps, known, event, sighting);
    if (output.invoice_id !== null) touched.add(output.invoice_id);
    seen.push(output);
  }
  await returnDebts(trx, deps, look.tip.height, look.vouchesFor);
  const exposure = createExposure(trx, look.tip.height, nowMs);
  for (const output of seen) await adopt(trx, deps, output, standpoint(look, exposure, output.script));
  for (const { id, script } of await findUnfinished(trx)) if (look.vouchesFor(script)) touched.add(id);
  for (const id of touched) {
    const script = (await findInvoice(trx, id))?.script ?? '';
    await refresh(trx, deps, id, standpoint(look, exposure, script));
  }
  failpoint('exchange:observed');
  trx.afterCommit(() => failpoint('exchange:observe-committed'));
  return true;
};

/** Notes which addresses were asked about, so that others come first the next time. */
export const noteAsked = (trx: Trx, deps: ExchangeDeps, scripts: readonly string[]): Promise<void> =>
  noteLooked(trx, scripts, deps.now());
