import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { routes } from '@aitbc/contracts';
import { scratchDirectory } from '@aitbc/testing';
import { createChatCompletion } from '../../clients/miner/src/executors/completion.ts';
import { createOpenAiServer } from '../../clients/miner/src/executors/openai-server.ts';
import { type AgentUnderTest, startAgent } from '../../clients/miner/src/testing/agent-under-test.ts';
import { type ModelServer, startModelServer } from '../../clients/miner/src/testing/model-server.ts';
import { packCli, packSdk } from '../../scripts/pack.ts';
import { accountOf, type Coordinator, must, startCoordinator } from '../coordinator.ts';

export const root = resolve(import.meta.dirname, '../..');
const run = promisify(execFile);

/** A Node that packages are used with, and its name in tests. */
export interface NodeProgram {
  readonly name: string;
  readonly path: string;
}

/** This one, and the one of the machine when it is the oldest that is promised. */
export const nodes: readonly NodeProgram[] = (() => {
  const ours = { name: 'Node 24', path: process.execPath };
  const folders = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.includes('node_modules'));
  const outside = spawnSync('node', ['-p', 'process.version'], {
    env: { PATH: folders.join(delimiter) },
    encoding: 'utf8',
  });
  if (!outside.stdout?.startsWith('v20.')) return [ours];
  const path = spawnSync('which', ['node'], { env: { PATH: folders.join(delimiter) }, encoding: 'utf8' });
  return [ours, { name: 'Node 20', path: path.stdout.trim() }];
})();

export interface World {
  readonly coordinator: Coordinator;
  /** A fresh folder with nothing but what was packed and installed. */
  readonly folder: string;
  /** What a miner asks for answers; its model is `talker`. */
  readonly models: ModelServer;
  end(): Promise<void>;
}

/** One system for all tests of the clients, with a miner that detects languages, and the packages installed. */
export const startWorld = async (): Promise<World> => {
  const folder = scratchDirectory();
  const install = async () => {
    const packages = join(folder, 'packages');
    mkdirSync(packages);
    const tarballs = await Promise.all([packSdk(packages), packCli(packages)]);
    writeFileSync(join(folder, 'package.json'), '{"private": true}');
    await run('npm', ['install', '--offline', '--no-audit', '--no-fund', ...tarballs], { cwd: folder });
  };
  const [coordinator, models] = await Promise.all([
    startCoordinator({ demoMiner: true }),
    startModelServer(['talker']),
    install(),
  ]);
  // A first transaction, for whoever looks at the ledger.
  must(
    await coordinator.admin.call(routes.payments.credit, {
      params: { account_id: await accountOf(coordinator.client) },
      body: { amount: 1_000, reason: 'for the tests of the clients' },
    }),
  );
  const { key } = await coordinator.newAccount(['miner']);
  const agent: AgentUnderTest = startAgent(
    coordinator,
    [createChatCompletion(createOpenAiServer(models.url, undefined))],
    { concurrency: 4, key, timing: { probeMs: 60_000, drainMs: 100 } },
  );
  const end = async () => {
    await agent.end();
    await models.close();
    await coordinator.stop();
  };
  return { coordinator, folder, models, end };
};

/** The command line that was installed. */
export const installedCli = ({ folder }: World): string => join(folder, 'node_modules/@aitbc/cli/index.js');

/** The examples of a page: what stands in the block of code behind `<!-- example: name -->`. */
export const examplesOf = (page: string): Map<string, string> => {
  const text = readFileSync(join(root, page), 'utf8');
  const found = text.matchAll(/<!-- example: (\S+) -->\n```\w+\n([\s\S]*?)```/g);
  return new Map([...found].map(([, name, code]) => [name as string, code as string]));
};

export const environment = ({ coordinator }: World) => ({
  PATH: process.env.PATH,
  AITBC_URL: coordinator.url,
  AITBC_API_KEY: coordinator.keys.client,
});
