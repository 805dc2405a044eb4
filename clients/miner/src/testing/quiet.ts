/** Of a run's context what most tests do not look at. */
export const QUIET = { output: (): void => {}, measured: (): void => {} };
