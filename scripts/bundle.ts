import { existsSync, globSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { builtName } from '../libs/testing/src/built.ts';

const root = resolve(import.meta.dirname, '..');
const dist = join(root, 'dist');

/** Every process of the coordinator begins in one of these. */
const MAINS = 'services/*/src/**/main.ts';
/** What a bundle is made of. The lock file stands for all libraries. */
const SOURCES = [
  'libs/*/{package.json,src/**/*.ts}',
  'services/*/{package.json,src/**/*.ts,migrations/**/*.ts}',
  'scripts/bundle.ts',
  'package-lock.json',
];
/** They look for files of theirs, machine code or pages, where they are installed. */
const STAY_OUTSIDE = /^(?:better-sqlite3|msgpackr-extract|pg-native|@bull-board\/.*)$/;

const isBuilt = (): boolean => {
  const made = existsSync(dist) ? readdirSync(dist).filter((name) => name.endsWith('.js')) : [];
  if (made.length === 0) return false;
  const builtAt = Math.min(...made.map((name) => statSync(join(dist, name)).mtimeMs));
  return SOURCES.flatMap((form) => globSync(form, { cwd: root })).every(
    (path) => statSync(join(root, path)).mtimeMs <= builtAt,
  );
};

/** What is read from beside a source is still found there. */
const placesOfSources = {
  name: 'places-of-sources',
  transform: {
    filter: { code: /import\.meta\.(?:url|dirname)|__dirname|__filename/ },
    handler: (code: string, id: string) => ({
      code: code
        .replaceAll(/\bimport\.meta\.url\b/g, JSON.stringify(pathToFileURL(id).href))
        .replaceAll(/\bimport\.meta\.dirname\b|\b__dirname\b/g, JSON.stringify(dirname(id)))
        .replaceAll(/\b__filename\b/g, JSON.stringify(id)),
      // No line moves.
      map: null,
    }),
  },
};

/** Where something failed is told in lines of our own sources; maps of the libraries are ten times as large. */
const mapsOfOurs = {
  name: 'maps-of-ours',
  transform: {
    filter: { id: /\/node_modules\// },
    handler: (code: string) => ({ code, map: { mappings: '' } }),
  },
};

/**
 * Makes one file of each process and its libraries, with parts that they share, in dist/, when a source is newer: seconds, once.
 * Whoever starts a `main.ts` takes what {@link builtOf} gives. Where the tools for it are left out of an installation,
 * the sources run as they are.
 */
export const bundleServices = async (log: (line: string) => void): Promise<void> => {
  if (isBuilt() || !existsSync(join(root, 'node_modules/rolldown'))) return;
  log('bundling the services ...');
  const { rolldown } = await import('rolldown');
  const mains = globSync(MAINS, { cwd: root }).map((main) => join(root, main));
  const build = await rolldown({
    input: Object.fromEntries(mains.map((main) => [builtName(main), main])),
    platform: 'node',
    external: STAY_OUTSIDE,
    // Only what is used is loaded; pg does not say of itself that loading it does nothing.
    treeshake: { moduleSideEffects: [{ test: /\/node_modules\/pg\//, sideEffects: false }] },
    plugins: [placesOfSources, mapsOfOurs],
  });
  // Two that build at once do not build into each other, and what starts meanwhile finds a whole one.
  const made = join(root, `dist-${process.pid}`);
  await build.write({
    dir: made,
    entryFileNames: '[name].js',
    chunkFileNames: 'parts/[hash].js',
    sourcemap: true,
  });
  await build.close();
  rmSync(dist, { recursive: true, force: true });
  renameSync(made, dist);
};
