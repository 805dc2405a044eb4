/** Waits until `check` stops throwing and returns its value; after `ms` the last error is the test's. */
export const eventually = async <T>(check: () => T | Promise<T>, ms = 10_000): Promise<T> => {
  const until = performance.now() + ms;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
};
