import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { builtName } from '../libs/testing/src/built.ts';

const root = resolve(import.meta.dirname, '..');
const dist = join(root, 'dist');
/** In dist/: the hash of what it was made of. */
const MADE_OF = 'made-of';

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
const STAY_OUTSIDE = /^(?:better-sqlite3|msgpackr-extract|pg-native|iconv-lite|@bull-board\/.*)$/;

/** Contents and not times, which a copy keeps; and the place, because a bundle knows where its sources stand. */
const hashOfSources = (): string => {
  const hash = createHash('sha256').update(root);
  for (const path of SOURCES.flatMap((form) => globSync(form, { cwd: root })).sort())
    if (!path.endsWith('.test.ts')) hash.update(`\0${path}\0`).update(readFileSync(join(root, path)));
  return hash.digest('hex');
};

const isMadeOf = (hash: string): boolean => {
  const file = join(dist, MADE_OF);
  return existsSync(file) && readFileSync(file, 'utf8') === hash;
};

/** What is read from beside a source is still found there. */
const placesOfSources = {
  name: 'places-of-sources',
  transform: {
    filter: { id: /^\//, code: /import\.meta\.(?:url|dirname)|__dirname|__filename/ },
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

const HTTP = '\0node:http';
/**
 * `import 'node:http'` asks for all that it has, so also for its WebSocket, and with that Node loads its whole fetch: 2 to 8 MB a process.
 * The module itself does so when somebody asks for that.
 */
const httpWithoutFetch = {
  name: 'http-without-fetch',
  resolveId: {
    filter: { id: /^(?:node:)?http$/ },
    handler: (_id: string, _importer: string | undefined, { kind }: { kind: string }) =>
      kind === 'import-statement' ? HTTP : null,
  },
  load: {
    filter: { id: /^\0node:http$/ },
    handler: () => {
      const names = Object.keys(http).filter(
        (name) => !['WebSocket', 'CloseEvent', 'MessageEvent'].includes(name),
      );
      return [
        `const http = process.getBuiltinModule('node:http');`,
        `export const { ${names.join(', ')} } = http;`,
        'export default http;',
      ].join('\n');
    },
  },
};

/** As a file a table is read once; in a bundle its text, and what V8 makes of that, stay for ever. */
const tablesAsFiles = {
  name: 'tables-as-files',
  load: {
    filter: { id: /\/node_modules\/.*\.json$/ },
    handler: (id: string) => ({
      code: `module.exports = JSON.parse(require('node:fs').readFileSync(${JSON.stringify(id)}, 'utf8'));`,
      moduleType: 'js' as const,
    }),
  },
};

/** A text with one letter beyond Latin 1 takes two bytes for each of all its letters in V8: some 10 MB a process. */
const inAscii = {
  name: 'in-ascii',
  renderChunk: (code: string) => ({
    code: code.replaceAll(/[^\0-\xff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
    map: null,
  }),
};

const moveUnless = (codes: readonly string[], from: string, to: string): void => {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
};

/** The old one is moved away first, so that what starts meanwhile finds a whole one, or none and takes the sources. */
const putInPlace = (made: string): void => {
  const old = `${made}-old`;
  moveUnless(['ENOENT'], dist, old);
  // Another that built at the same time was faster: of the same sources.
  moveUnless(['ENOTEMPTY', 'EEXIST'], made, dist);
  rmSync(old, { recursive: true, force: true });
};

/**
 * Makes one file of each process and its libraries, with parts that they share, in dist/, when a source has changed: seconds, once.
 * Whoever starts a `main.ts` takes what {@link builtOf} gives.
 * @returns false where it cannot be made: the tools for that are left out of an installation for production. The sources
 * run as they are then
 */
export const bundleServices = async (log: (line: string) => void): Promise<boolean> => {
  const hash = hashOfSources();
  if (isMadeOf(hash)) return true;
  if (!existsSync(join(root, 'node_modules/rolldown'))) {
    rmSync(dist, { recursive: true, force: true });
    return false;
  }
  log('bundling the services ...');
  const { rolldown } = await import('rolldown');
  const mains = globSync(MAINS, { cwd: root }).map((main) => join(root, main));
  const made = join(root, `dist-${process.pid}`);
  try {
    const build = await rolldown({
      input: Object.fromEntries(mains.map((main) => [builtName(main), main])),
      platform: 'node',
      external: STAY_OUTSIDE,
      // Only what is used is loaded; pg does not say of itself that loading it does nothing.
      treeshake: { moduleSideEffects: [{ test: /\/node_modules\/pg\//, sideEffects: false }] },
      plugins: [placesOfSources, mapsOfOurs, httpWithoutFetch, tablesAsFiles, inAscii],
    });
    await build.write({
      dir: made,
      entryFileNames: '[name].js',
      chunkFileNames: 'parts/[hash].js',
      comments: false,
      sourcemap: true,
      sourcemapExcludeSources: true,
    });
    await build.close();
    writeFileSync(join(made, MADE_OF), hash);
    putInPlace(made);
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
  return true;
};
