import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, renameSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const folder = join(root, 'clients/console');

/** What the console is made of. The lock file stands for all libraries. */
const SOURCES = [
  'clients/console/{index.html,package.json,vite.config.ts}',
  'clients/console/src/**/*',
  'clients/sdk/src/**/*.ts',
  'package-lock.json',
];

const isBuilt = (): boolean => {
  const index = join(folder, 'dist/index.html');
  if (!existsSync(index)) return false;
  const builtAt = statSync(index).mtimeMs;
  return SOURCES.flatMap((form) => globSync(form, { cwd: root })).every(
    (path) => statSync(join(root, path)).mtimeMs <= builtAt,
  );
};

/**
 * Builds the console when a source of it is newer than what was built: seconds, once.
 * @returns false where it cannot be built: the tools for that are left out of an installation for production
 */
export const buildConsole = async (log: (line: string) => void): Promise<boolean> => {
  if (isBuilt()) return true;
  const vite = join(root, 'node_modules/vite/bin/vite.js');
  if (!existsSync(vite)) return false;
  log('building the console ...');
  // Two that build at once do not build into each other, and who serves it meanwhile has a whole one.
  const made = join(folder, `dist-${process.pid}`);
  // A process of its own: what is built is for production, and a build says so to all of the process that it runs in.
  const [code] = await once(
    spawn(process.execPath, [vite, 'build', folder, '--outDir', made, '--logLevel', 'warn'], {
      cwd: root,
      env: { ...process.env, NODE_ENV: 'production' },
      stdio: ['ignore', 2, 2],
    }),
    'exit',
  );
  if (code !== 0) throw new Error('the console could not be built: the lines above say why');
  const place = join(folder, 'dist');
  rmSync(place, { recursive: true, force: true });
  renameSync(made, place);
  return true;
};
