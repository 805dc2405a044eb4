import { randomUUID } from 'node:crypto';
import type { Compilable } from 'kysely';
import type { QueryConfig, QueryResult } from 'pg';
import { clock } from '../../clock.ts';
import { failpoint } from '../../failpoint.ts';
import { type Hot, resolveForPostgres, withoutNul } from '../../sql.ts';
import { TookTooLong } from '../fault.ts';
import { createGathering } from '../gathering.ts';
import { FLUSH, type Hook, type Outcome, type Waiting } from '../groups.ts';
import type { Trx } from '../store.ts';
import { kindOf, type TallyKeeper } from '../tally.ts';
import { isConflict, isTimeout, serverProblem } from './fault.ts';
import type { Tenure } from './places.ts';

/** Nobody else writes that table, but a process that starts. PostgreSQL lets those that wait in by their order. */
const TAKE_TURN = 'LOCK TABLE store_identity IN SHARE ROW EXCLUSIVE MODE';

const named = (error: unknown): unknown =>
  isTimeout(error) ? new TookTooLong('a statement took too long', { cause: error }) : error;

/** What came of a group. Its hooks run once the commit is sure. */
export interface Ran {
  readonly outcomes: Outcome[];
  readonly hooks: readonly Hook[];
}

/** The connection broke while the commit was under way: it may have reached the server or not. */
export class UnsureCommit extends Error {
  /** What the table store_commit says if it has. */
  readonly token: string;
  readonly ran: Ran;
  constructor(token: string, ran: Ran, cause: unknown) {
    super('the connection was lost during the commit', { cause });
    this.token = token;
    this.ran = ran;
  }
}

/**
 * Runs the functions of a group one after the other in one SERIALIZABLE transaction; several have a savepoint each.
 * @throws what undid the whole group: a conflict, a lost connection, an {@link UnsureCommit}
 */
export const runGroup = async (
  tenure: Tenure,
  group: readonly Pick<Waiting, 'name' | 'fn'>[],
  options: {
    writer: string;
    wake: (topic: string) => void;
    deadlineMs: number;
    takesTurns: boolean;
    tally: TallyKeeper;
  },
): Promise<Ran> => {
  const { client, stream } = tenure;
  const hooks: Hook[] = [];
  const memo = new Map<string, number>();
  const counters = new Map(tenure.counters);
  const gathering = createGathering();
  const outcomes: Outcome[] = [];
  /** Ends the group: nothing more can be done in this transaction, whoever caught the error. */
  let doom: { error: unknown } | null = null;
  /** The first statement that failed since the transaction was last whole. */
  let failure: { error: unknown } | null = null;
  const underWay = new Set<Promise<unknown>>();

  const send = async (query: string | QueryConfig): Promise<QueryResult> => {
    if (doom !== null) throw doom.error;
    options.tally.add(kindOf(typeof query === 'string' ? query : query.text));
    try {
      const answer = client.query(query as QueryConfig);
      underWay.add(answer);
      return await answer.finally(() => underWay.delete(answer));
    } catch (cause) {
      const error = named(cause);
      if (isConflict(error) || serverProblem(error) !== null) doom ??= { error };
      else failure ??= { error };
      throw error;
    }
  };
  /** Sent with what follows it: in a transaction that is whole it can fail by the connection or for its turn alone. */
  const sendAhead = (text: string): void => {
    if (doom !== null) return;
    options.tally.add(kindOf(text));
    client.query(text).catch((cause: unknown) => (doom ??= { error: named(cause) }));
  };

  /** @throws unless all that was sent went well: a failed statement undoes what it stands in, also when it was caught. */
  const assertWhole = async (): Promise<void> => {
    while (underWay.size > 0) await Promise.allSettled(underWay);
    if (doom !== null) throw (doom as { error: unknown }).error;
    if (failure !== null) throw (failure as { error: unknown }).error;
  };

  const undoTo = async (name: string, forget: () => void): Promise<void> => {
    while (underWay.size > 0) await Promise.allSettled(underWay);
    forget();
    counters.clear();
    failure = null;
    await send(`ROLLBACK TO ${name}`);
  };

  /** @param isOver whether the function is that this is in: then another one has the transaction, or nobody */
  const savepoint = async <T>(fn: () => T | Promise<T>, level: number, isOver: () => boolean): Promise<T> => {
    const name = `s${level}`;
    const hooksBefore = hooks.length;
    const ungather = gathering.mark();
    const remembered = new Map(memo);
    const forget = () => {
      hooks.length = hooksBefore;
      ungather();
      memo.clear();
      for (const [key, value] of remembered) memo.set(key, value);
    };
    // What failed before is undone with what is around; a savepoint cannot be made any more.
    await assertWhole();
    sendAhead(`SAVEPOINT ${name}`);
    try {
      const value = await fn();
      if (!isOver()) await assertWhole();
      return value;
    } catch (error) {
      // Its savepoint went with it; one of that name would be another's by now.
      if (!isOver()) await undoTo(name, forget);
      throw error;
    } finally {
      if (!isOver()) sendAhead(`RELEASE ${name}`);
    }
  };

  /** What one function is given. Once it is over, a part of it that was left behind cannot write into another's. */
  const open = (name: string): { trx: Trx; end: () => void } => {
    let isOver = false;
    let level = 1;
    const ask = (query: Compilable<unknown> | Hot<never, unknown>, values?: never): Promise<QueryResult> => {
      if (isOver) throw new Error(`transaction ${name} is over: something in it was not awaited`);
      if (failure !== null)
        throw new Error(`transaction ${name} goes on after a statement that failed`, {
          cause: failure.error,
        });
      return send(resolveForPostgres(query, values as never));
    };
    const trx: Trx = {
      all: async (query: never, values?: never) => (await ask(query, values)).rows as never,
      get: async (query: never, values?: never) => (await ask(query, values)).rows[0] as never,
      run: async (query: never, values?: never) => (await ask(query, values)).rowCount ?? 0,
      savepoint: async (fn) => {
        if (isOver) throw new Error(`transaction ${name} is over: something in it was not awaited`);
        level += 1;
        return savepoint(fn, level, () => isOver).finally(() => {
          level -= 1;
        });
      },
      isShared: true,
      stream,
      memo,
      counters,
      afterCommit: (fn) => void hooks.push(fn),
      whileCommitting: (fn) => void hooks.push(fn),
      notify: (topic) => void hooks.push(() => options.wake(topic)),
      gather: (write, item) => {
        // Written with what others gathered it would undo them, too.
        withoutNul(Object.values(item as object));
        gathering.add(write, item);
      },
      flush: () => gathering.flush(trx),
    };
    return {
      trx,
      end: () => {
        isOver = true;
      },
    };
  };

  const runOne = async ({ name, fn }: Pick<Waiting, 'name' | 'fn'>): Promise<unknown> => {
    const { trx, end } = open(name);
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new TookTooLong(`transaction ${name} took more than ${options.deadlineMs} ms`)),
      options.deadlineMs,
    );
    try {
      return await Promise.race([(async () => fn(trx))(), late.promise]);
    } finally {
      clearTimeout(timer);
      end();
    }
  };

  let isOpen = true;
  try {
    // Waited for: outside of a transaction each statement would stand alone.
    await send('BEGIN ISOLATION LEVEL SERIALIZABLE');
    // Before the first statement that reads: what it sees is what the group before this one left.
    if (options.takesTurns) sendAhead(TAKE_TURN);
    for (const item of group) {
      try {
        // Alone it needs no savepoint: the transaction is its own.
        const value =
          group.length === 1
            ? await runOne(item)
            : await savepoint(
                () => runOne(item),
                0,
                () => false,
              );
        await assertWhole();
        outcomes.push({ ok: true, value });
      } catch (error) {
        if (doom !== null) throw (doom as { error: unknown }).error;
        if (group.length === 1) throw error;
        outcomes.push({ ok: false, error });
      }
    }
    if (gathering.hasMore()) {
      await runOne(FLUSH);
      await assertWhole();
    }
    const ran = { outcomes, hooks };
    const token = randomUUID();
    // It looks for no row, so it is no conflict with the commits of other processes.
    const last = `INSERT INTO store_commit VALUES ('${options.writer}', '${token}', ${clock.nowMs()}) ON CONFLICT (writer) DO UPDATE SET token = excluded.token, committed_at_ms = excluded.committed_at_ms; COMMIT`;
    const answered = send(last);
    failpoint('store:commit-under-way');
    const answers = (await answered.catch((error: unknown) => {
      throw error instanceof TookTooLong || (error as { severity?: unknown }).severity === 'ERROR'
        ? error
        : new UnsureCommit(token, ran, error);
    })) as unknown as QueryResult[];
    isOpen = false;
    if (answers[1]?.command !== 'COMMIT') throw new Error('PostgreSQL rolled the transaction back');
    tenure.counters = counters;
    return ran;
  } catch (error) {
    if (isOpen && !(error instanceof UnsureCommit)) await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
};
