/** The dispatch index in Redis. Everything of it begins with the prefix of the deployment. */
export const dispatchKeys = (redisPrefix: string) => {
  const prefix = `${redisPrefix}:dispatch:`;
  return {
    prefix,
    /** The Redis (its run id) that the index was built in. Missing: the index is gone. */
    generation: `${prefix}generation`,
    /** When the process of jobs started whose polls count. */
    epoch: `${prefix}epoch`,
    lane: (id: string): string => `${prefix}lane:${id}`,
    /** A job as its lane's member: its id first, so that age decides among equals. */
    member: (job: { id: string; client_id: string }): string => `${job.id}/${job.client_id}`,
  };
};
export type DispatchKeys = ReturnType<typeof dispatchKeys>;
