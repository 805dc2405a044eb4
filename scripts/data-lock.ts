import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/**
 * Each database has one writing process, so a data folder belongs to one stack at a time. Held by listening on a
 * socket, not by a file with a process id: the system lets go of it when the holder dies, and ids come round again.
 * Undefined when somebody holds it; else how to let go.
 * @param dataDir the same folder by whichever name: one that is given relative is not another
 */
export async function holdDataDir(dataDir: string): Promise<(() => void) | undefined> {
  const name = createHash('sha256').update(resolve(dataDir)).digest('hex').slice(0, 16);
  const path = join(tmpdir(), `aitbc-${name}.sock`);
  if (await answers(path)) return undefined;
  rmSync(path, { force: true }); // left by a holder that was killed
  const server = createServer((visitor) => visitor.destroy()).unref();
  await once(server.listen(path), 'listening');
  return () => server.close();
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const visit = connect(path);
    visit.once('error', () => resolve(false));
    visit.once('connect', () => {
      visit.destroy();
      resolve(true);
    });
  });
}
