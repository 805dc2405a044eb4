import type { Scheduled, Store } from '@aitbc/chassis';
import type { Credentials } from './credentials.ts';
import { SESSION_IDLE_MS } from './domain.ts';
import * as rows from './store.ts';

const SAVE_USES_EVERY_MS = 10_000;
const PURGE_EVERY_MS = 60_000;
/** More than one address's limit lets it ask for in that time, times many addresses. */
const PURGE_BATCH = 5_000;

export const createSchedule = (store: Store, credentials: Credentials, now: () => number): Scheduled[] => [
  {
    name: 'credentials.save_uses',
    everyMs: SAVE_USES_EVERY_MS,
    // Of what was used here.
    where: 'everywhere',
    run: credentials.saveUses,
  },
  {
    name: 'sessions.purge',
    everyMs: PURGE_EVERY_MS,
    run: async () => {
      const nowMs = now();
      await store.transact('sessions.purge', async (trx) => {
        // Nonces end by the wall clock, as wallets show it.
        await rows.deleteOldNonces(trx, Date.now(), PURGE_BATCH);
        await rows.deleteOldSessions(trx, nowMs, nowMs - SESSION_IDLE_MS, PURGE_BATCH);
      });
    },
  },
];
