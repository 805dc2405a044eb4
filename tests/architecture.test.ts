import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { allRoutes, type Destination, messages, SERVICES } from '@aitbc/contracts';
import { expect, test } from 'vitest';

// The rules of docs/architecture.md, read off the sources. Who needs an exception writes it here, with its reason.

const LONG_FILES: Record<string, string> = {
  'libs/contracts/src/routes/jobs.ts': 'declarations only: one contract after another',
  'libs/contracts/src/routes/payments.ts': 'declarations only: one contract after another',
  'clients/sdk/src/contract.ts': 'made from the contracts, read by the compiler',
};
const MAY_IMPORT_BULLMQ: Record<string, string> = {
  'libs/chassis/src/queue.ts': 'the one place that knows BullMQ',
};

const PURE_BUILT_INS: Record<string, string> = {
  'services/gateway/src/domain.ts node:crypto': 'hash() depends on its arguments alone',
  'services/gateway/src/domain.ts node:zlib': 'crc32() depends on its arguments alone',
};

const LINES_MAX = 400;
const ROOMS = [
  'README.md',
  'migrations/index.ts',
  ...['main', 'service', 'config', 'routes', 'consumers'].map((room) => `src/${room}`),
];
const CONTRACTS_MAY_IMPORT = /^(?:zod|uuid|node:crypto|zod-openapi)$/;

const root = resolve(import.meta.dirname, '..');

const filesUnder = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesUnder(path);
    return [path];
  });
const everything = ['libs', 'services', 'clients', 'scripts', 'bench', 'tests'].flatMap(filesUnder);

interface Source {
  readonly path: string;
  readonly text: string;
  /** Specifiers as written; relative ones resolved to a path from the root. */
  readonly imports: string[];
  /** Runs in tests alone. */
  readonly isTest: boolean;
}
const IMPORT =
  /^\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?'([^']+)'|^[^/]*?\bimport\(\s*'([^']+)'|^} from '([^']+)'/gm;
const sources: Source[] = everything
  .filter((path) => /\.tsx?$/.test(path) && !path.startsWith('clients/console/dist'))
  .map((path) => {
    const text = readFileSync(join(root, path), 'utf8');
    const imports = [...text.matchAll(IMPORT)].map(([, one, two, three]) => {
      const specifier = (one ?? two ?? three) as string;
      return specifier.startsWith('.') ? relative(root, resolve(root, dirname(path), specifier)) : specifier;
    });
    const isTest =
      /\.(?:test|fixture)\.ts$|\/testing(?:-processes)?[/.]/.test(path) || path.startsWith('tests/');
    return { path, text, imports, isTest };
  });
const under = (folder: string) => sources.filter(({ path }) => path.startsWith(`${folder}/`));
const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
const isBuiltIn = (specifier: string) => specifier.startsWith('node:');

/** What breaks the rule, one line each: an empty list is what a test expects. */
const breaches = (files: readonly Source[], isForbidden: (specifier: string, file: Source) => boolean) =>
  files.flatMap((file) =>
    file.imports
      .filter((specifier) => isForbidden(specifier, file))
      .map((specifier) => `${file.path} imports ${specifier}`),
  );

test('the sources are found and their imports are read', () => {
  expect(sources.length).toBeGreaterThan(100);
  const store = sources.find(({ path }) => path === 'libs/chassis/src/store/connection.ts');
  expect(store?.imports).toEqual(expect.arrayContaining(['better-sqlite3', 'kysely']));
  const service = sources.find(({ path }) => path === 'services/gateway/src/service.ts');
  expect(service?.imports).toContain('services/gateway/migrations/index.ts');
});

test.each(SERVICES)('%s imports no other service', (name) => {
  const others = SERVICES.filter((other) => other !== name);
  expect(
    breaches(under(`services/${name}`), (specifier) =>
      others.some((other) => specifier.startsWith(`services/${other}/`) || specifier === `@aitbc/${other}`),
    ),
  ).toEqual([]);
});

test('imports point one way: services → chassis → contracts → zod', () => {
  expect(
    breaches(
      under('libs/contracts/src').filter(({ isTest }) => !isTest),
      (specifier) => !specifier.startsWith('libs/contracts/') && !CONTRACTS_MAY_IMPORT.test(specifier),
    ),
  ).toEqual([]);
  expect(
    breaches(
      under('libs/chassis/src').filter(({ isTest }) => !isTest),
      (specifier) =>
        /^(?:services|clients|scripts|tests|bench|libs\/testing)\/|^@aitbc\/(?!contracts$)/.test(specifier),
    ),
  ).toEqual([]);
  expect(
    breaches(
      under('services').filter(({ isTest }) => !isTest),
      (specifier) => /^(?:libs|clients|scripts|tests|bench)\/|^@aitbc\/testing$/.test(specifier),
    ),
  ).toEqual([]);
});

test('what people run beside the coordinator knows its contracts at most; the SDK not even these, the command line the SDK alone', () => {
  const shipped = (folder: string) => under(folder).filter(({ isTest }) => !isTest);
  const isInside = /^(?:libs|services|scripts)\//;
  const only = (folder: string, allowed: RegExp) =>
    breaches(
      shipped(folder),
      (specifier) => isInside.test(specifier) || (/^@aitbc\//.test(specifier) && !allowed.test(specifier)),
    );
  expect(only('clients/miner', /^@aitbc\/contracts$/)).toEqual([]);
  expect(only('clients/sdk', /(?!)/)).toEqual([]);
  expect(only('clients/cli', /^@aitbc\/sdk$/)).toEqual([]);
  expect(only('clients/console', /^@aitbc\/sdk$/)).toEqual([]);
  // In a browser there is nothing of Node.
  expect(breaches([...shipped('clients/sdk'), ...shipped('clients/console/src')], isBuiltIn)).toEqual([]);
});

test('only chassis opens SQLite, only its queue opens BullMQ', () => {
  const shipped = sources.filter(({ isTest }) => !isTest);
  expect(
    breaches(shipped, (specifier, { path }) => {
      if (packageOf(specifier) === 'better-sqlite3') return !path.startsWith('libs/chassis/src/');
      return packageOf(specifier) === 'bullmq' && !(path in MAY_IMPORT_BULLMQ);
    }),
  ).toEqual([]);
});

test('what a package imports is among its own dependencies', () => {
  const packages = everything.filter((path) => path.endsWith('/package.json')).map(dirname);
  const missing = packages.flatMap((folder) => {
    const {
      name,
      dependencies = {},
      devDependencies = {},
      optionalDependencies = {},
    } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    const known = new Set(Object.keys({ ...dependencies, ...optionalDependencies, ...devDependencies }));
    return breaches(
      under(folder).filter(({ isTest }) => !isTest),
      (specifier) =>
        !isBuiltIn(specifier) &&
        !specifier.startsWith(`${folder}/`) &&
        packageOf(specifier) !== name &&
        !known.has(packageOf(specifier)) &&
        // The runner of the tests, and scripts of the repository: only tests come here by them.
        !/^vitest(?:\/|$)|^libs\/testing\//.test(specifier),
    );
  });
  expect(missing).toEqual([]);
});

test('domain is pure: no input, no output, no clock, no chance', () => {
  const pure = under('services').filter(
    ({ path, isTest }) => !isTest && /\/src\/domain(?:\.ts$|\/)/.test(path),
  );
  expect(pure.length).toBeGreaterThanOrEqual(SERVICES.length - 1);
  expect(
    breaches(
      pure,
      (specifier, { path }) =>
        (isBuiltIn(specifier) && !(`${path} ${specifier}` in PURE_BUILT_INS)) ||
        specifier === '@aitbc/chassis',
    ),
  ).toEqual([]);
  for (const { path, text } of pure) {
    expect({
      path,
      impure: text.match(/\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bprocess\.|\brandom[A-Z]/g),
    }).toEqual({
      path,
      impure: null,
    });
  }
});

test('names say what a thing is', () => {
  const vague = everything.filter((path) =>
    path.split('/').some((part) => /^(?:utils?|helpers?|managers?|misc|common|shared)(?:\.|$)/.test(part)),
  );
  expect(vague).toEqual([]);
});

test.each(SERVICES)('%s has the rooms that every service has', (name) => {
  const isThere = (room: string) => {
    const path = join(root, 'services', name, room);
    return existsSync(path) || existsSync(`${path}.ts`) || existsSync(`${path}/index.ts`);
  };
  expect(ROOMS.filter((room) => !isThere(room))).toEqual([]);
  const migrations = filesUnder(`services/${name}/migrations`).map((path) =>
    path.split('/').slice(3).join('/'),
  );
  const place = /^(?:index|(?:sqlite|postgres)\/\d{4}-[a-z-]+|postgres\/rules)\.ts$/;
  expect(migrations.filter((file) => !place.test(file))).toEqual([]);
});

test('no source is longer than what one reads in a sitting', () => {
  const long = sources
    .filter(({ path, isTest }) => !isTest && /\/src\//.test(path))
    .map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
    .filter(({ path, lines }) => lines > LINES_MAX && !(path in LONG_FILES));
  expect(long).toEqual([]);
});

test('an exception that nobody needs any more is taken out', () => {
  const lines = (path: string) => readFileSync(join(root, path), 'utf8').split('\n').length - 1;
  expect(Object.keys(LONG_FILES).filter((path) => lines(path) <= LINES_MAX)).toEqual([]);
  const imports = (path: string) => sources.find((file) => file.path === path)?.imports ?? [];
  expect(Object.keys(MAY_IMPORT_BULLMQ).filter((path) => !imports(path).includes('bullmq'))).toEqual([]);
});

/** Where a destination's code is: workers are a second entry of a service. */
const WORKER_ROOMS: Partial<Record<Destination, string>> = {
  dispatcher: 'services/jobs/src/dispatcher',
  webhooks: 'services/gateway/src/webhooks/worker',
};
const roomOf = (destination: Destination) => WORKER_ROOMS[destination] ?? `services/${destination}/src`;

test.each(Object.entries(messages))('%s is sent by its owner and heard by all it is for', (name, message) => {
  /** A consumer is written as a property, `'name': (trx, …)`; what sends it, as an argument. */
  const uses = (destination: Destination, use: RegExp) =>
    under(roomOf(destination)).filter(({ isTest, text }) => !isTest && use.test(text));
  const escaped = name.replace('.', '\\.');
  // What every service says, the chassis says for it.
  const ofAll = `\`\${service}.${name.split('.')[1]}\``;
  const isSaidForAll = under('libs/chassis/src').some(({ isTest, text }) => !isTest && text.includes(ofAll));
  expect(isSaidForAll || uses(message.from, new RegExp(`'${escaped}'(?!:)`)).length > 0).toBe(true);
  expect(message.to.length).toBeGreaterThan(0);
  const deaf = message.to.filter(
    (destination) => uses(destination, new RegExp(`'${escaped}'(?=:)|case '${escaped}'`)).length === 0,
  );
  expect(deaf).toEqual([]);
});

test('every route has a name and an address of its own', () => {
  const addresses = allRoutes.map(({ method, path }) => `${method} ${path.replace(/:[a-z_]+/g, ':x')}`);
  expect(addresses.filter((address, at) => addresses.indexOf(address) !== at)).toEqual([]);
  const names = allRoutes.map(({ name }) => name);
  expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
});

test('the image is built from every workspace’s package.json', () => {
  const workspaces = everything
    .filter((path) => /^(?:libs|services|clients)\/[^/]+\/package\.json$/.test(path))
    .map((path) => `COPY ${path} ${dirname(path)}/`);
  const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8').split('\n');
  expect(workspaces.filter((line) => !dockerfile.includes(line))).toEqual([]);
});

test('no file names the machine it was written on', () => {
  const names = new RegExp(['/wor' + 'k/', '/ro' + 'ot/', '/ho' + 'me/[a-z]+/'].join('|'));
  const docs = ['README.md', 'CONTRIBUTING.md', 'Dockerfile', 'docker-compose.yml', 'run.mjs', '.env.example']
    .concat(existsSync(join(root, 'docs')) ? filesUnder('docs') : [], filesUnder('deploy'))
    .filter((path) => existsSync(join(root, path)) && statSync(join(root, path)).isFile());
  const found = [...docs, ...everything.filter((path) => /\.(?:ts|md|json|lua|mjs)$/.test(path))].filter(
    (path) => names.test(readFileSync(join(root, path), 'utf8')),
  );
  expect(found).toEqual([]);
});
