import { type Log, type Scheduled, type Store, sendAs } from '@aitbc/chassis';
import { advance } from './commands/advancing.ts';
import type { Ruling } from './commands/ruling.ts';
import { missingFrom } from './store/blocks.ts';
import { dueProposals, postpone } from './store/proposals.ts';

const ADVANCE_EVERY_MS = 250;
/** One turn's worth: a few milliseconds of writing. More that is due comes in the next turn. */
const ADVANCE_BATCH = 100;
/** A proposal whose turn failed comes back after this, behind the others. */
const POSTPONE_MS = 30_000;

const send = sendAs<'governance'>();

/** Parts of blocks come in any order: what is missing at one look and at the next is asked for. */
const LOOK_FOR_BLOCKS_MS = 2_000;
/** Payments may be away. */
const ASK_AGAIN_MS = 60_000;

/**
 * Asks payments for blocks that can never come by themselves: their messages went to a file that was replaced by an
 * older copy. Each answer leads some blocks further, to the next question.
 */
const createBlockFinder = (store: Store, log: Log) => {
  let seen: number | null = null;
  let asked = { height: -1, atMs: 0 };
  return async (): Promise<void> => {
    const height = await missingFrom(store.read);
    const isLasting = height !== null && height === seen;
    seen = height;
    if (!isLasting || (height === asked.height && performance.now() - asked.atMs < ASK_AGAIN_MS)) return;
    asked = { height, atMs: performance.now() };
    log.warn({ from: height }, 'blocks were missed; asking for them');
    await store.transact('governance.blocks_missed', (trx) =>
      send(trx, 'governance.blocks_missed', { from_height: height }),
    );
  };
};

/** The clock of every proposal: deadlines, timelocks and executions, nobody has to ask. */
export const createSchedule = (store: Store, ruling: Ruling, log: Log, now: () => number): Scheduled[] => [
  {
    name: 'governance.advance',
    everyMs: ADVANCE_EVERY_MS,
    run: async () => {
      const ids = await dueProposals(store.read, now(), ADVANCE_BATCH);
      await Promise.all(
        ids.map((id) =>
          store
            .transact('governance.advance', (trx) => advance(trx, ruling, id, now()))
            .catch(async (error) => {
              log.error({ err: error, proposal_id: id }, 'proposal could not be advanced');
              await store.transact('governance.postpone', (trx) => postpone(trx, id, now() + POSTPONE_MS));
            }),
        ),
      );
    },
  },
  { name: 'governance.find_blocks', everyMs: LOOK_FOR_BLOCKS_MS, run: createBlockFinder(store, log) },
];
