/**
 * Named places where a crash test ends the process the hard way: `FAILPOINT=relay:after-publish` or
 * `FAILPOINT=relay:after-publish@3` (the third time it is reached). Ignored in production.
 */
const wanted = process.env.NODE_ENV === 'production' ? undefined : process.env.FAILPOINT;
const [wantedName, wantedCount] = (wanted ?? '').split('@');
let remaining = Number(wantedCount ?? 1);

export const failpoint = (name: string): void => {
  if (name !== wantedName) return;
  remaining -= 1;
  if (remaining <= 0) process.kill(process.pid, 'SIGKILL');
};
