import { type Purge, type Scheduled, type Store, schedulePurge } from '@aitbc/chassis';
import type { Credentials } from './credentials.ts';
import { SESSION_IDLE_MS } from './domain.ts';
import * as rows from './store.ts';

const SAVE_USES_EVERY_MS = 10_000;

export const createSchedule = (
  store: Store,
  credentials: Credentials,
  purge: Purge,
  now: () => number,
): Scheduled[] => [
  {
    name: 'credentials.save_uses',
    everyMs: SAVE_USES_EVERY_MS,
    // Of what was used here.
    where: 'everywhere',
    run: credentials.saveUses,
  },
  schedulePurge('sessions.purge', [
    purge({
      what: 'challenges',
      // They end by the wall clock, as wallets show it.
      find: (limit) => rows.noncesDue(store.read, Date.now(), limit),
      dueAtMs: ({ expires_at_ms }) => expires_at_ms,
      drop: rows.dropNonces,
    }),
    purge({
      what: 'sessions',
      find: (limit) => rows.sessionsDue(store.read, now(), now() - SESSION_IDLE_MS, limit),
      drop: (trx, old) => rows.dropSessions(trx, old, now(), now() - SESSION_IDLE_MS),
    }),
  ]),
];
