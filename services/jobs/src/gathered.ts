/**
 * Gathers what is asked for in one turn, and while the last is under way: a thousand askers are one statement.
 * @param run what it cannot do now is asked for again by whoever needs it.
 */
export const gathered = (run: (ids: readonly string[]) => Promise<void>): ((id: string) => void) => {
  let waiting = new Set<string>();
  let isRunning = false;
  const runAll = async (): Promise<void> => {
    while (waiting.size > 0) {
      const ids = [...waiting];
      waiting = new Set();
      await run(ids).catch(() => {});
    }
    isRunning = false;
  };
  return (id) => {
    waiting.add(id);
    if (isRunning) return;
    isRunning = true;
    setImmediate(() => void runAll());
  };
};
