import { placeOf, type Requirement } from './match.ts';

/** Everything of the dispatch index in Redis begins with this. What the keys hold is in pool.lua. */
const PREFIX = 'dispatch:';

export const DISPATCH = {
  prefix: PREFIX,
  /** The Redis (its run id) that the index was built in. Missing: the index is gone. */
  generation: `${PREFIX}generation`,
  /** When the process of jobs started whose polls count. */
  epoch: `${PREFIX}epoch`,
  /** Where polls wait. */
  idlePattern: `${PREFIX}idle:*`,
  /** Where a job waits: the clients of its queue in the order of their turns, and the jobs of its client in theirs. */
  queueOf: (
    requirement: Requirement,
    paysMinor: number,
    clientId: string,
  ): { turns: string; own: string } => {
    const { tier, type, model, card, region, cell } = placeOf(requirement, paysMinor);
    const queue = [tier, type, model, card, region, cell].join('|');
    return { turns: `${PREFIX}turns:${queue}`, own: `${PREFIX}own:${queue}|${clientId}` };
  },
};
