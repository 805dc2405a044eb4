import { isDiskFault } from './disk.ts';
import { isConflict, serverProblem } from './postgres/fault.ts';

/** A function or a statement that was still running after the time it has: the machine has too much to do, or it waits. */
export class TookTooLong extends Error {}

/** The transaction was undone as a whole, and its functions run again from their start. */
export class Undone extends Error {}

/**
 * Whether a statement failed by the store and not by what it was to write: its disk, its server, its time, or a
 * transaction of another that came in between. All that the transaction did is undone then, whoever catches the error.
 */
export const isStoreFault = (error: unknown): boolean =>
  isDiskFault(error) ||
  isConflict(error) ||
  serverProblem(error) !== null ||
  error instanceof TookTooLong ||
  error instanceof Undone;
