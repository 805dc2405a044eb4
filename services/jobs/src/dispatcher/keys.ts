import { keysTogether } from '@aitbc/chassis';
import { placeOf, type Requirement } from './match.ts';

/**
 * The dispatch index in Redis. Everything of it begins with the prefix of the deployment, and lies on one master of a
 * cluster; what the keys hold is in pool.lua.
 */
export const dispatchKeys = (redisPrefix: string, isCluster = false) => {
  const prefix = `${keysTogether(redisPrefix, 'dispatch', isCluster)}:`;
  return {
    prefix,
    /**
     * The Redis (its run id) that the index was built in, and where jobs runs in several processes `/` and which time it
     * was. Missing: the index is gone. Another: all polls are to be offered again.
     */
    generation: `${prefix}generation`,
    /** When the process of jobs started whose polls count. */
    epoch: `${prefix}epoch`,
    /** Where there are several: when the one at this place started. Ends by itself when that one is gone. */
    epochOf: (place: number | string): string => `${prefix}epoch:${place}`,
    /** HASH place -> epoch of each that was there. */
    places: `${prefix}places`,
    /** Where there are several: ZSET of the miners that waiting jobs name, by the second when one was offered last. */
    named: `${prefix}named`,
    /** Where polls wait. */
    idlePattern: `${prefix}idle:*`,
    /** What was said of a job; `*` for all. */
    job: (id: string): string => `${prefix}job:${id}`,
    /** Where a job waits: the clients of its queue in the order of their turns, and the jobs of its client in theirs. */
    queueOf: (
      requirement: Requirement,
      paysMinor: number,
      clientId: string,
    ): { turns: string; own: string } => {
      const { queue } = placeOf(requirement, paysMinor);
      return { turns: `${prefix}turns:${queue}`, own: `${prefix}own:${queue}|${clientId}` };
    },
  };
};
export type DispatchKeys = ReturnType<typeof dispatchKeys>;
