import type { Consumers, Listeners, Parameters } from '@aitbc/chassis';
import { changePresence, creditPayment, endAttempt, startAttempt } from './commands/index.ts';
import type { Roster } from './roster.ts';
import { inactiveOf } from './store/index.ts';

/**
 * Brought back by one message where the store is shared, at most: each takes some ways to a server, and a transaction has 5 s. The others
 * come back with their own beats, or when jobs hears of them again.
 */
const SHARED_BACK_MAX = 50;

export const createConsumers = (options: {
  roster: Roster;
  parameters: Parameters<'miners'>;
  listeners: Listeners;
  now: () => number;
  /** For how long attempts and payments are known. */
  keptMs: number;
}): Consumers<'miners'> => {
  const { roster, parameters, listeners, now, keptMs } = options;
  return {
    'governance.parameter_changed': parameters.apply,
    'gateway.listeners_changed': listeners.apply,
    'jobs.started': (trx, started) => startAttempt(trx, started, keptMs),
    'jobs.attempt_ended': (trx, ended) => endAttempt(trx, roster, ended, now(), keptMs),
    'jobs.miners_seen': async (trx, { miner_ids, seen_at_ms }) => {
      // The clock of jobs may run ahead of ours; nobody can be seen in the future.
      const seenAtMs = Math.min(seen_at_ms, now());
      const isFresh = now() - seenAtMs < parameters.get('heartbeat_timeout_seconds') * 1_000;
      for (const id of miner_ids) roster.heardOf(id, seenAtMs);
      if (!isFresh) return;
      const inactive = roster.isShared
        ? (await inactiveOf(trx, miner_ids)).slice(0, SHARED_BACK_MAX)
        : miner_ids.filter((id) => roster.get(id)?.status === 'inactive');
      for (const id of inactive) await changePresence(trx, roster, id, 'seen', seenAtMs);
    },
    'payments.resolved': (trx, resolved) => creditPayment(trx, resolved, now(), keptMs),
  };
};
