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

/** The first of `preferred` that nobody listens on, else one that the system chooses. */
export async function freePort(preferred: readonly number[] = [], host = '127.0.0.1'): Promise<number> {
  for (const port of [...preferred, 0]) {
    const got = await tryListen(port, host);
    if (got !== undefined) return got;
  }
  throw new Error(`no free port on ${host}`);
}
