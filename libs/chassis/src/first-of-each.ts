/**
 * Of each job the first, in their order: for what a consumer gathered, where a statement for all of a batch may not touch a row twice.
 */
export const firstOfEach = <M extends { readonly job_id: string }>(said: readonly M[]): M[] => {
  const seen = new Set<string>();
  return said.filter(({ job_id }) => !seen.has(job_id) && seen.add(job_id));
};
