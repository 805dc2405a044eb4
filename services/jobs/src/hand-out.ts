import { type Context, createShare } from '@aitbc/chassis';
import { type AnyRoute, invalidField, isJobType, Problem } from '@aitbc/contracts';
import { reportSeen } from './commands/miners.ts';
import { returnLeases } from './commands/start.ts';
import { satisfies } from './dispatcher/match.ts';
import type { Leased } from './polls.ts';
import { requirementOfRow } from './requirement.ts';
import { oldestWaiting } from './store/backlog.ts';
import type { Work } from './work.ts';

/**
 * A registration may still be on its way here when the first poll arrives: behind what others send at once, for seconds.
 * So a poll waits for it as long as it would for work...
 */
const REGISTRATION_WAIT_MIN_MS = 2_000;
/** ...but who never registered shall hear so. */
const REGISTRATION_WAIT_MAX_MS = 15_000;
/** A poll without waiting still gives the dispatchers time to answer, when there is work at all. */
const WAIT_MIN_MS = 1_000;

/** Jobs of a type looked at for a poll that does not wait: more than so many, and a dispatcher has to say. */
const LOOK = 50;
/** Two for each of the thousand miners that an account can have: one that waits, one that takes its place. */
const POLLS_PER_ACCOUNT_MAX = 2_000;

type Asking = Pick<Context<AnyRoute>, 'caller' | 'signal' | 'response'>;

/** Finds the miner that asks for work, and waits for the work with it. One for all routes that do so. */
export const createHandOut = (work: Work) => {
  const { store, fleet } = work;
  const polls = createShare({
    max: POLLS_PER_ACCOUNT_MAX,
    code: 'TOO_MANY_POLLS',
    what: 'requests for work open',
    retryAfterSeconds: 5,
  });

  /** Whether anything waits that it may run, as far as a short look tells; the dispatchers know the rest. */
  const hasWork = async (minerId: string): Promise<boolean> => {
    const miner = fleet.miner(minerId);
    const ability = miner && fleet.ability(minerId, miner.revision);
    if (ability === undefined) return false;
    for (const type of ability.types) {
      if (!isJobType(type)) continue;
      const oldest = await oldestWaiting(store.read, type, LOOK);
      if (oldest.length === LOOK || oldest.some((job) => satisfies(ability, requirementOfRow(job))))
        return true;
    }
    return false;
  };

  /** @returns undefined while no such miner of this account is known. @throws Problem when it must be named. */
  const findOwnMiner = (accountId: string, minerId: string | undefined): string | undefined => {
    const all = fleet.minersOf(accountId);
    if (minerId !== undefined) return all.includes(minerId) ? minerId : undefined;
    // Names of machines long gone do not make the one that is left ambiguous.
    const active = all.filter((id) => fleet.miner(id)?.status === 'active');
    const own = active.length > 0 ? active : all;
    if (own.length > 1) throw invalidField('query.miner_id', 'is needed: this account has several miners');
    return own[0];
  };

  /**
   * A miner that `find` knows, now or once its registration has arrived here.
   * @param options.minerId when it is known
   * @param options.waitMs how long it would wait for work
   * @throws Problem MINER_NOT_REGISTERED
   */
  const awaitMiner = async (
    find: () => string | undefined,
    gone: AbortSignal,
    { minerId, hint, waitMs = 0 }: { minerId?: string | undefined; hint: string; waitMs?: number },
  ): Promise<string> => {
    const known = find();
    if (known !== undefined) return known;
    if (work.fleetSync !== undefined) {
      // Another process may have heard of it.
      if (minerId !== undefined) await work.fleetSync.find(minerId);
      const found = find();
      if (found !== undefined) return found;
      work.fleetSync.soon();
    }
    const late = await new Promise<string | undefined>((resolve) => {
      const done = (id: string | undefined) => {
        clearTimeout(timer);
        stopListening();
        gone.removeEventListener('abort', giveUp);
        resolve(id);
      };
      const giveUp = () => done(gone.aborted ? undefined : find());
      const timer = setTimeout(
        giveUp,
        Math.min(Math.max(waitMs, REGISTRATION_WAIT_MIN_MS), REGISTRATION_WAIT_MAX_MS),
      );
      const stopListening = fleet.onRegistered(() => {
        const found = find();
        if (found !== undefined) done(found);
      });
      gone.addEventListener('abort', giveUp);
    });
    if (late === undefined)
      throw new Problem(
        'MINER_NOT_REGISTERED',
        `No such miner of this account; register first with ${hint}.`,
      );
    return late;
  };

  return {
    awaitMiner,

    /** @throws Problem MINER_NOT_REGISTERED, VALIDATION_ERROR when it must be named */
    minerOf: (
      accountId: string,
      minerId: string | undefined,
      waitMs: number,
      gone: AbortSignal,
    ): Promise<string> =>
      awaitMiner(() => findOwnMiner(accountId, minerId), gone, {
        minerId,
        waitMs,
        hint: 'POST /v1/miner/register',
      }),

    /**
     * Waits for work, as long as the request is there.
     * @param wish.isQuiet of a program that gives no sign while it works
     * @throws Problem TOO_MANY_POLLS
     */
    take: async (
      minerId: string,
      wish: { wait_seconds: number; max_jobs: number; isQuiet?: boolean },
      { caller, signal, response }: Asking,
    ): Promise<readonly Leased[]> => {
      work.seen.add(minerId);
      // One that counts as gone is back: its work may start as soon as miners has heard so.
      if (fleet.miner(minerId)?.status === 'inactive') await reportSeen(work);
      if (store.isShared) await work.load.countAgain(store, [minerId]);
      const isWorthWaiting = wish.wait_seconds > 0 || (await hasWork(minerId));
      const waitMs = isWorthWaiting ? Math.max(wish.wait_seconds * 1_000, WAIT_MIN_MS) : 0;
      const waitForWork = () => {
        const giveBack = polls.take(caller.account_id);
        return work.polls.wait(minerId, wish.max_jobs, waitMs, signal, wish.isQuiet).finally(giveBack);
      };
      const jobs = waitMs === 0 ? [] : await waitForWork();
      work.seen.add(minerId);
      if (jobs.length > 0) {
        // The request went away between the lease and the answer.
        const putBack = () => void returnLeases(work, jobs).catch(() => {});
        if (signal.aborted) putBack();
        else response.once('close', () => response.writableFinished || putBack());
      }
      return jobs;
    },
  };
};
export type HandOut = ReturnType<typeof createHandOut>;
