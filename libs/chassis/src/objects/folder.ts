import { mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Objects } from './index.ts';

const PARTIAL = '.partial';

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

const flushFolder = async (path: string): Promise<void> => {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
};

/** A folder of this machine, the owner's alone. A file under its name is whole and on the disk. */
export const openFolder = (root: string): Objects => ({
  name: root,
  put: async (name, bytes) => {
    const path = join(root, name);
    const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(path + PARTIAL, 'w', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(path + PARTIAL, path);
    await flushFolder(dirname(path));
    // A folder that is new stands in the one above it.
    if (made !== undefined)
      for (let at = dirname(path); at.length >= made.length; at = dirname(at)) await flushFolder(dirname(at));
  },
  get: (name) =>
    readFile(join(root, name)).catch((error) => {
      if (isMissing(error)) return undefined;
      throw error;
    }),
  list: async function* (prefix) {
    const within = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    const found = await readdir(join(root, within), { recursive: true, withFileTypes: true }).catch(
      (error) => {
        if (isMissing(error)) return [];
        throw error;
      },
    );
    for (const entry of found) {
      if (!entry.isFile() || entry.name.endsWith(PARTIAL)) continue;
      const name = join(entry.parentPath, entry.name).slice(join(root, '/').length);
      if (name.startsWith(prefix)) yield name;
    }
  },
});
