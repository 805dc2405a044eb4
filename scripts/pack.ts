import { execFile } from 'node:child_process';
import { copyFile, glob, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { build } from 'rolldown';

const help = `node run.mjs pack [--to FOLDER]   makes the package of the SDK

  --to FOLDER   where the .tgz files go; without it, the folder that you are in

In them are JavaScript and types for Node 20, which cannot read TypeScript.`;

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '..');
const clients = join(root, 'clients');

interface Manifest {
  name: string;
  version: string;
  description: string;
  license: string;
}
/** What is published says nothing of this tree: no workspace, no sources, no dependency that is bundled. */
const manifestOf = async (client: string, more: object): Promise<string> => {
  const { name, version, description, license } = JSON.parse(
    await readFile(join(clients, client, 'package.json'), 'utf8'),
  ) as Manifest;
  const engines = { node: '>=20.3' };
  return `${JSON.stringify({ name, version, description, license, type: 'module', engines, ...more }, null, 2)}\n`;
};

/** Everything that the client is made of in one file, but what comes with Node. */
const bundle = async (client: string, folder: string, input: string, platform: 'neutral' | 'node') => {
  await build({
    input: join(clients, client, 'src', input),
    platform,
    // Node 20, and the browsers that know Ed25519.
    transform: { target: 'es2022' },
    output: { file: join(folder, 'index.js'), format: 'esm' },
    logLevel: 'warn',
  });
  await copyFile(join(clients, client, 'README.md'), join(folder, 'README.md'));
};

const inScratch = async <T>(work: (folder: string) => Promise<T>): Promise<T> => {
  const folder = await mkdtemp(join(tmpdir(), 'aitbc-pack-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

const pack = async (folder: string, to: string): Promise<string> => {
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', to], {
    cwd: folder,
  });
  const [packed] = Object.values(JSON.parse(stdout) as Record<string, { filename: string }>);
  return join(to, packed?.filename ?? '');
};

/** @returns the path of the package. */
export const packSdk = (to: string): Promise<string> =>
  inScratch(async (folder) => {
    await bundle('sdk', folder, 'index.ts', 'neutral');
    const types = join(folder, 'types');
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    await run(process.execPath, [tsc, '-p', join(clients, 'sdk/tsconfig.build.json'), '--outDir', types]);
    for await (const file of glob(join(types, '**/*.d.ts'))) {
      // A compiler that is told nothing does not take imports that end in .ts.
      const text = await readFile(file, 'utf8');
      await writeFile(file, text.replaceAll(/((?:from |import\()['"]\.[^'"]*)\.ts(['"])/g, '$1.js$2'));
    }
    const manifest = await manifestOf('sdk', {
      exports: { '.': { types: './types/index.d.ts', default: './index.js' } },
      sideEffects: false,
    });
    await writeFile(join(folder, 'package.json'), manifest);
    return pack(folder, to);
  });

if (import.meta.main) {
  const { values } = parseArgs({
    options: { to: { type: 'string', default: '.' }, help: { type: 'boolean', default: false } },
  });
  if (values.help) console.log(help);
  else {
    const to = resolve(values.to);
    console.log(await packSdk(to));
  }
}
