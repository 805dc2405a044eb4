import type { Log, Scheduled, Store } from '@aitbc/chassis';
import { advance } from './commands/advancing.ts';
import type { Ruling } from './commands/ruling.ts';
import { dueProposals, postpone } from './store/proposals.ts';

const ADVANCE_EVERY_MS = 250;
/** One turn's worth: a few milliseconds of writing. More that is due comes in the next turn. */
const ADVANCE_BATCH = 100;
/** A proposal whose turn failed comes back after this, behind the others. */
const POSTPONE_MS = 30_000;

/** The clock of every proposal: deadlines, timelocks and executions, nobody has to ask. */
export const createSchedule = (store: Store, ruling: Ruling, log: Log, now: () => number): Scheduled[] => [
  {
    name: 'governance.advance',
    everyMs: ADVANCE_EVERY_MS,
    run: async () => {
      const ids = dueProposals(store.read, now(), ADVANCE_BATCH);
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
];
