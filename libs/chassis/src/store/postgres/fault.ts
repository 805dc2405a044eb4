/** Another transaction came in between; run again, this one may pass. Nothing of it was kept. */
export const isConflict = (error: unknown): boolean => {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === '40001' || code === '40P01';
};

/** The server ended a statement that had worked, or waited for a lock, for all the time it has. */
export const isTimeout = (error: unknown): boolean => (error as { code?: unknown } | null)?.code === '57014';

const WORDS: readonly (readonly [RegExp, string])[] = [
  [/^57P0[123]$/, 'PostgreSQL is stopping or starting'],
  [/^(08...|57P05|25P03)$/, 'the connection to PostgreSQL was lost'],
  [/^LOCKED$/, 'another process has these tables for itself alone'],
  [/^53300$/, 'PostgreSQL has no connection left'],
  [/^53100$/, 'the disk of PostgreSQL is full'],
  [/^(53200|53400)$/, 'PostgreSQL is short of memory or of another resource'],
  [/^(58030|58P01|58P02|XX001|XX002)$/, 'PostgreSQL cannot read or write its files'],
  // After a fail-over the old address may lead to a server that only follows.
  [/^25006$/, 'PostgreSQL takes no writes: it is a replica, or read-only'],
  [/^28...$/, 'PostgreSQL does not accept the user or its password'],
  [/^3D000$/, 'the database does not exist'],
  [
    /^(ECONN[A-Z]+|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_[A-Z]+|E(HOST|NET)[A-Z]+|EADDRNOTAVAIL)$/,
    'PostgreSQL cannot be reached',
  ],
];

// Of what the driver says itself it gives no code.
const LOST =
  /^(Connection terminated|timeout expired|timeout exceeded when trying|Query read timeout|Client has enc|Client was closed)/;

/** A tool (a move, a restore) or an earlier release has the tables alone. */
export class LockedElsewhere extends Error {
  readonly code = 'LOCKED';
  constructor(name: string) {
    super(`${name}: another process has these tables for itself alone`);
  }
}

/** @returns what is wrong with the server or the way to it, or null when the error is another's. */
export const serverProblem = (error: unknown): string | null => {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === 'string') {
    const found = WORDS.find(([pattern]) => pattern.test(code));
    if (found !== undefined) return found[1];
  }
  // A name with several addresses fails with the errors of all.
  if (error instanceof AggregateError) return serverProblem(error.errors[0]);
  return error instanceof Error && typeof message === 'string' && LOST.test(message)
    ? 'the connection to PostgreSQL was lost'
    : null;
};

/** The server said no to a statement and the connection stands: its disk is full, it is short of something. */
const SERVER_STANDS = /^(53...|58030|58P0[12]|XX00[12])$/;

/** Whether the connection is to be opened anew: it is lost, or leads to a server that does not write. */
export const isConnectionProblem = (error: unknown): boolean => {
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown };
  const stands = severity === 'ERROR' && typeof code === 'string' && SERVER_STANDS.test(code);
  return serverProblem(error) !== null && !stands;
};

/** The disk of the server is full. */
export const isFull = (error: unknown): boolean => (error as { code?: unknown } | null)?.code === '53100';
