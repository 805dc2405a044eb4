import { isDiskFault } from './disk.ts';
import { isConflict, serverProblem } from './postgres/fault.ts';

/**
 * Whether a statement failed by the store and not by what it was to write: its disk, its server, or a transaction of
 * another that came in between. All that the transaction did is undone then, whoever catches the error.
 */
export const isStoreFault = (error: unknown): boolean =>
  isDiskFault(error) || isConflict(error) || serverProblem(error) !== null;
