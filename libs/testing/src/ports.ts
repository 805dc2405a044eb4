import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Listens for a moment and lets go again: the port is very likely, not certainly, free afterwards. */
async function tryListen(port: number, host: string): Promise<number | undefined> {
  const server = createServer();
  try {
    server.listen({ port, host, exclusive: true });
    await once(server, 'listening');
    return (server.address() as { port: number }).port;
  } catch {
    return undefined;
  } finally {
    server.close();
  }
}

export async function isPortFree(port: number, host = '127.0.0.1'): Promise<boolean> {
  return (await tryListen(port, host)) !== undefined;
}

/** Below those that Linux gives to outgoing connections (32768 to 60999): one of them would take it before its user listens. */
const [FIRST, LAST] = [20_000, 31_999];
const TRIES = 20;

/** The first of `preferred` that nobody listens on, else one by chance. A process that starts again finds it free again. */
export async function freePort(preferred: readonly number[] = [], host = '127.0.0.1'): Promise<number> {
  const byChance = Array.from({ length: TRIES }, () => randomInt(FIRST, LAST + 1));
  for (const port of [...preferred, ...byChance, 0]) {
    const got = await tryListen(port, host);
    if (got !== undefined) return got;
  }
  throw new Error(`no free port on ${host}`);
}
