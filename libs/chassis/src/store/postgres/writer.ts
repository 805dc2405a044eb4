import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from 'pg';
import { assertInUse, markOfSchema } from '../../move/mark.ts';
import { LockedElsewhere } from './fault.ts';
import { type Address, connect, end, WRITER } from './session.ts';

/** A process that was ended leaves its connection for a moment, and a new one begins before the old has gone. */
const LOCK_WAIT_MS = 15_000;
const LOCK_EVERY_MS = 200;
/** So long a caller waits to hear whether its commit arrived, before it is told that nobody knows. */
const UNSURE_WAIT_MS = 3_000;
const UNSURE_EVERY_MS = 200;

/**
 * The one connection that writes. It holds the lock of its schema, which goes with it: so what is written is written
 * by the one process of the service.
 */
export const createWriter = (address: Address) => {
  let client: Client | null = null;
  let unsure: { token: string; tell: (isCommitted: boolean) => void } | null = null;

  /** @returns whether the lock is ours now. */
  const lock = async (candidate: Client, waitMs: number): Promise<boolean> => {
    const until = performance.now() + waitMs;
    for (;;) {
      const { rows } = await candidate.query<{ is_ours: number }>(
        'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS is_ours',
        [`aitbc.store.${address.schema}`],
      );
      if (rows[0]?.is_ours === 1) return true;
      if (performance.now() > until) return false;
      await pause(LOCK_EVERY_MS);
    }
  };

  const wasCommitted = async (candidate: Client, token: string): Promise<boolean> => {
    // Not by the number of the transaction: after a crash PostgreSQL may give the same to another.
    const { rows } = await candidate.query<{ token: string }>('SELECT token FROM store_commit');
    return rows[0]?.token === token;
  };

  /** @throws while the server cannot be reached, or another process has the lock */
  const connected = async (lockWaitMs = LOCK_EVERY_MS): Promise<Client> => {
    if (client !== null) return client;
    const candidate = await connect(address, WRITER);
    try {
      if (!(await lock(candidate, lockWaitMs))) throw new LockedElsewhere(address.name);
      // Each time: a move may have had the tables while the server could not be reached.
      assertInUse(await markOfSchema(candidate, address.schema), address.name);
      if (unsure !== null) {
        // The lock was the old connection's: it is over, and so is its transaction.
        const { token, tell } = unsure;
        const isCommitted = await wasCommitted(candidate, token);
        unsure = null;
        tell(isCommitted);
      }
    } catch (error) {
      end(candidate);
      throw error;
    }
    const lost = (): void => {
      if (client === candidate) client = null;
    };
    candidate.on('error', lost);
    candidate.on('end', lost);
    client = candidate;
    return candidate;
  };

  const drop = (): void => {
    if (client !== null) end(client);
    client = null;
  };

  return {
    connected,
    /** At start, while an older process may still be leaving. @throws LockedElsewhere when it stays */
    open: (waitMs: number = LOCK_WAIT_MS) => connected(waitMs),
    drop,
    /**
     * Asks a new connection whether a commit arrived.
     * @param tell is called once that is known, also when nobody waits for it any more
     * @returns false also when nobody can be asked for now
     */
    findOut: async (token: string, tell: (isCommitted: boolean) => void): Promise<boolean> => {
      drop();
      let found: boolean | undefined;
      unsure = {
        token,
        tell: (isCommitted) => {
          found = isCommitted;
          tell(isCommitted);
        },
      };
      const until = performance.now() + UNSURE_WAIT_MS;
      while (performance.now() < until) {
        await connected().catch(() => pause(UNSURE_EVERY_MS));
        if (found !== undefined) return found;
      }
      return false;
    },
    close: async (): Promise<void> => {
      const leaving = client;
      client = null;
      await leaving?.end().catch(() => {});
    },
  };
};
