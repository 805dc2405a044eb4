import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from 'pg';
import { assertInUse, markOfSchema } from '../../move/mark.ts';
import type { Address } from './address.ts';
import { LockedElsewhere } from './fault.ts';
import { leavePlace, type Tenure, takePlace, tryLock, tryPlace } from './places.ts';
import { connect, end, WRITER } from './session.ts';

/** An operator's tool that needs the tables alone may be about to finish, and so may a release that knew one process. */
const LOCK_WAIT_MS = 15_000;
const LOCK_EVERY_MS = 200;
/** So long a caller waits to hear whether its commit arrived, before it is told that nobody knows. */
const UNSURE_WAIT_MS = 3_000;
const UNSURE_EVERY_MS = 200;

/**
 * The one connection of this process that writes, and the locks that go with it: the place, whose stream it alone writes
 * to; the lead, which one process has; places of others that died. When the connection is lost all of them are, and the
 * next has to take them anew.
 * @param options.prepare runs once, on the first connection, before the place is taken
 * @param options.onChange is called after a lock was taken or lost
 */
export const createWriter = (options: {
  address: Address;
  service: string;
  prepare: (client: Client) => Promise<void>;
  onChange: () => void;
}) => {
  const { address, service, onChange } = options;
  const { schema } = address;
  /** Names this process to itself: under it the last commit is noted. */
  const writer = randomUUID();
  const ownLock = `aitbc.writer.${writer}`;
  let tenure: Tenure | null = null;
  /** What was held last, also while nothing is. */
  let last: { readonly place: number; readonly stream: string } | undefined;
  let leads = false;
  const adopted = new Map<string, number>();
  let unsure: { token: string; tell: (isCommitted: boolean) => void } | null = null;

  /** @throws LockedElsewhere when it is not to be had in time */
  const demandLock = async (
    client: Client,
    name: string,
    mode: '' | '_shared',
    waitMs: number,
  ): Promise<void> => {
    const until = performance.now() + waitMs;
    while (!(await tryLock(client, name, mode))) {
      if (performance.now() > until) throw new LockedElsewhere(address.name);
      await pause(LOCK_EVERY_MS);
    }
  };

  /** The connection before may not know yet that its other end is gone; nothing of it is of use any more. */
  const endBefore = async (client: Client): Promise<void> => {
    await client.query(
      `SELECT pg_terminate_backend(pid) FROM pg_locks, hashtextextended($1, 0) AS key
       WHERE locktype = 'advisory' AND objsubid = 1 AND granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND classid = ((key >> 32) & 4294967295)::oid AND objid = (key & 4294967295)::oid`,
      [ownLock],
    );
  };

  const wasCommitted = async (client: Client, token: string): Promise<boolean> => {
    // Not by the number of the transaction: after a crash PostgreSQL may give the same to another.
    const { rows } = await client.query<{ token: string }>(
      'SELECT token FROM store_commit WHERE writer = $1',
      [writer],
    );
    return rows[0]?.token === token;
  };

  const lose = (client: Client): void => {
    if (tenure?.client !== client) return;
    tenure = null;
    leads = false;
    adopted.clear();
    onChange();
  };

  /** @throws while the server cannot be reached, or somebody needs the tables alone */
  const connected = async (lockWaitMs = LOCK_EVERY_MS): Promise<Tenure> => {
    if (tenure !== null) return tenure;
    const client = await connect(address, WRITER);
    let taken: Tenure;
    try {
      await demandLock(client, `aitbc.store.${schema}`, '_shared', lockWaitMs);
      // Each time: a move may have had the tables while the server could not be reached.
      assertInUse(await markOfSchema(client, schema), address.name);
      if (last !== undefined) await endBefore(client);
      // Only the connection before can have it: once it is ours that one is over, and so is its transaction.
      await demandLock(client, ownLock, '', lockWaitMs);
      if (last === undefined) await options.prepare(client);
      if (unsure !== null) {
        const { token, tell } = unsure;
        const isCommitted = await wasCommitted(client, token);
        unsure = null;
        tell(isCommitted);
      }
      taken = await takePlace(client, { schema, service, before: last?.place });
    } catch (error) {
      end(client);
      throw error;
    }
    client.on('error', () => lose(client));
    client.on('end', () => lose(client));
    tenure = taken;
    last = taken;
    onChange();
    return taken;
  };

  const drop = (): void => {
    if (tenure === null) return;
    const { client } = tenure;
    end(client);
    lose(client);
  };

  return {
    name: writer,
    connected,
    /** At start, while a tool that needs the tables alone may still be at work. @throws LockedElsewhere when it stays */
    open: (waitMs: number = LOCK_WAIT_MS) => connected(waitMs),
    drop,
    place: (): number => last?.place ?? 0,
    stream: (): string => last?.stream ?? '',
    leads: (): boolean => leads,
    held: (): readonly string[] => (tenure === null ? [] : [tenure.stream, ...adopted.keys()]),
    /** Looks whether nobody leads. Only between two transactions, as all below. */
    tryToLead: async (): Promise<void> => {
      const { client } = await connected();
      if (leads || !(await tryLock(client, `aitbc.leader.${schema}`)) || tenure?.client !== client) return;
      leads = true;
    },
    adopt: async (place: number, stream: string): Promise<void> => {
      const { client } = await connected();
      if (adopted.has(stream) || tenure?.place === place || !(await tryPlace(client, schema, place))) return;
      if (tenure?.client !== client) return;
      adopted.set(stream, place);
      onChange();
    },
    release: async (stream: string): Promise<void> => {
      const place = adopted.get(stream);
      if (place === undefined || tenure === null) return;
      adopted.delete(stream);
      onChange();
      await leavePlace(tenure.client, schema, place);
    },
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
      const leaving = tenure?.client;
      if (leaving === undefined) return;
      lose(leaving);
      await leaving.end().catch(() => {});
    },
  };
};
export type Writer = ReturnType<typeof createWriter>;
