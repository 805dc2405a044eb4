import { existsSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';

const root = resolve(import.meta.dirname, '../../..');

/** @returns what is bundled of a `main.ts` is called so in dist/: services/jobs/src/dispatcher/main.ts is jobs-dispatcher */
export const builtName = (main: string): string =>
  relative(root, main)
    .split(sep)
    .filter((part) => !['services', 'src', 'main.ts'].includes(part))
    .join('-');

/** @returns the bundle of a service's `main.ts`, as it runs in production; itself, where nothing is built or it is none */
export const builtOf = (main: string): string => {
  const built = join(root, 'dist', `${builtName(main)}.js`);
  return existsSync(built) ? built : main;
};
