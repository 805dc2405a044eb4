#!/usr/bin/env node
// The one entry of every npm script. Runs on Node 20 with nothing installed, and hands over to the Node 24 that
// the dependencies bring; so it is plain JavaScript and uses nothing but Node itself.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('.', import.meta.url));
const modules = join(root, 'node_modules');
const bin = join(modules, '.bin');
const at = (path) => join(root, path);

/** `script` is what has to exist for the command to be offered; `args` go before the caller's own. */
const commands = {
  start: { does: 'start the whole coordinator on this machine', script: 'scripts/start.ts' },
  console: { does: 'serve the console while it is worked on', script: 'scripts/console-dev.ts' },
  screenshots: { does: 'take the pictures in docs/console', script: 'scripts/screenshots.ts' },
  demo: { does: 'start it and run a real job of each kind, step by step', script: 'scripts/demo.ts' },
  aitbc: { does: 'ask a coordinator from a terminal', script: 'clients/cli/src/main.ts' },
  miner: { does: 'run a miner against a coordinator', script: 'clients/miner/src/main.ts' },
  test: { does: 'run the tests', script: 'node_modules/vitest/vitest.mjs', args: ['run'], installed: true },
  check: { does: 'check types, style and unused code', run: check },
  bench: { does: 'measure it', script: 'bench/main.ts' },
  verify: { does: 'check stored data against its own rules', script: 'scripts/verify.ts' },
  backup: { does: 'copy the data while it is in use', script: 'scripts/backup.ts' },
  restore: { does: 'bring a backup back', script: 'scripts/restore.ts' },
  migrate: { does: 'bring the schemas in PostgreSQL up to this version', script: 'scripts/migrate.ts' },
  move: { does: 'move the data between SQLite and PostgreSQL', script: 'scripts/move.ts' },
  build: {
    does: 'build the services and the console, for an image or a service manager',
    script: 'scripts/build.ts',
  },
  pack: { does: 'make the packages of the SDK and the command line', script: 'scripts/pack.ts' },
  openapi: { does: 'write the API description to docs/', script: 'scripts/openapi.ts' },
};

const isOffered = ({ script, installed }) => !script || installed || existsSync(at(script));

const [name = '--help', ...rest] = process.argv.slice(2);
if (['--help', '-h', 'help'].includes(name)) {
  console.log(usage());
} else if (!Object.hasOwn(commands, name) || !isOffered(commands[name])) {
  console.error(`There is no command named ${name}.\n\n${usage()}`);
  process.exitCode = 2;
} else {
  main(commands[name]);
}

function usage() {
  const offered = Object.entries(commands).filter(([, command]) => isOffered(command));
  const lines = offered.map(([word, { does }]) => `  ${word.padEnd(13)}${does}`);
  return ['node run.mjs <command> [options]', '', ...lines, '', 'Most take --help.'].join('\n');
}

function main({ script, args = [], run }) {
  if (!areInstalled() && !install()) {
    process.exitCode = 1;
    return;
  }
  const node =
    findNode() ?? (npm('rebuild', 'node', '--ignore-scripts=false', '--loglevel=error') && findNode());
  if (!node) {
    console.error(
      'Node 24 is needed and npm could not fetch it: ' +
        'connect to the network and start again, or install Node 24 yourself.',
    );
    process.exitCode = 1;
    return;
  }
  const env = {
    // Compiled code of the last start: a fifth of the starting time less, and in what runs from sources 20 MB.
    NODE_COMPILE_CACHE: join(modules, '.cache', 'compiled'),
    ...process.env,
    PATH: [bin, process.env.PATH].join(delimiter),
  };
  if (run) process.exitCode = run(env);
  else handOver(node, [at(script), ...args, ...rest], env);
}

/** Compares dates first, for speed, and contents only when the lock file is the newer one (a branch was changed). */
function areInstalled() {
  const wanted = at('package-lock.json');
  const present = join(modules, '.package-lock.json');
  if (!existsSync(present)) return false;
  if (statSync(present).mtimeMs >= statSync(wanted).mtimeMs) return true;
  const packages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
  const here = packages(present);
  for (const [path, { version, optional, link }] of Object.entries(packages(wanted))) {
    if (path === '' || link || !path.includes('node_modules/')) continue;
    const found = here[path];
    if (found ? found.version !== version : !optional) return false;
  }
  utimesSync(present, new Date(), new Date());
  return true;
}

/** Without install scripts: the only one that matters fetches Node 24, others would want a compiler. */
function install() {
  console.error('Installing the dependencies; the first time takes about a minute ...');
  if (npm('ci', '--ignore-scripts', '--loglevel=error')) return true;
  console.error('npm ci did not succeed: its messages above say why; once that is put right, start again.');
  return false;
}

function npm(...args) {
  // Not with the Node inside node_modules, which npm may be about to replace.
  const outside = (process.env.PATH ?? '').split(delimiter).filter((folder) => !folder.startsWith(modules));
  const { status, error } = spawnSync('npm', args, {
    cwd: root,
    env: { ...process.env, PATH: outside.join(delimiter) },
    stdio: ['ignore', 2, 2],
  });
  if (error) console.error(`npm could not be run (${error.message}): Node 20 or newer with npm is needed.`);
  return status === 0;
}

/** Node-API below 10 makes better-sqlite3 crash rather than fail. */
function findNode() {
  const works = (path) => {
    const asked = spawnSync(path, ['-p', '[process.versions.node, process.versions.napi].map(parseFloat)'], {
      encoding: 'utf8',
    });
    const [major, napi] = (asked.stdout ?? '').match(/[\d.]+/g)?.map(Number) ?? [];
    return major >= 24 && napi >= 10;
  };
  return [join(modules, 'node', 'bin', 'node'), process.execPath].find(works);
}

function handOver(node, args, env) {
  const script = args[0];
  // Our own scripts end with us even if we are killed; they are tied to us by a channel.
  const tied = !script.startsWith(modules) && existsSync(at('scripts/leash.ts'));
  const child = spawn(node, tied ? ['--import', at('scripts/leash.ts'), ...args] : args, {
    cwd: root,
    env,
    stdio: tied ? ['inherit', 'inherit', 'inherit', 'ipc'] : 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // Ctrl-C in a terminal reached the child already, and a second one means "at once" to many programs.
      if (signal === 'SIGINT' && process.stdin.isTTY) return;
      child.kill(signal);
    });
  }
  if (process.env.npm_lifecycle_event) {
    // npm passes a signal on to the shell between us only, which dies of it without a word to us.
    const { ppid } = process;
    setInterval(() => process.ppid !== ppid && child.kill('SIGTERM'), 500).unref();
  }
  child.once('error', (error) => {
    console.error(error.message);
    process.exit(1);
  });
  child.once('exit', (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

/** Runs every check, whatever the others say. The exit code is the number of those that failed. */
function check(env) {
  // What it found out stays for the next time: half the work after a small change.
  const types = (folder, name) => [
    'tsc',
    '--noEmit',
    '-p',
    folder,
    '--incremental',
    '--tsBuildInfoFile',
    `node_modules/.cache/${name}.json`,
  ];
  const checks = [types('.', 'tsc'), types('clients/console', 'tsc-console'), ['biome', 'check'], ['knip']];
  const failed = checks.filter(([tool, ...args]) => {
    console.log(`> ${[tool, ...args].join(' ')}`);
    return spawnSync(join(bin, tool), args, { cwd: root, env, stdio: 'inherit' }).status !== 0;
  });
  const names = failed.map(([tool]) => tool).join(', ');
  console.log(failed.length === 0 ? 'All checks passed.' : `Failed: ${names}.`);
  return failed.length;
}
