/** Everything of the dispatch index in Redis begins with this. */
const PREFIX = 'dispatch:';

export const DISPATCH = {
  prefix: PREFIX,
  /** The Redis (its run id) that the index was built in. Missing: the index is gone. */
  generation: `${PREFIX}generation`,
  /** When the process of jobs started whose polls count. */
  epoch: `${PREFIX}epoch`,
  lane: (id: string): string => `${PREFIX}lane:${id}`,
  /** A job as its lane's member: its id first, so that age decides among equals. */
  member: (job: { id: string; client_id: string }): string => `${job.id}/${job.client_id}`,
};
