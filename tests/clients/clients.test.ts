import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createProgram } from '../../clients/cli/src/program.ts';
import { wasRun } from '../../clients/cli/src/testing/terminal.ts';
import { STARTING_MS } from '../coordinator.ts';
import { chatting } from './chatting.ts';
import { hooks } from './hooks.ts';
import { installedCommandLine } from './installed-cli.ts';
import { longBatch } from './long-batch.ts';
import { packedSdk } from './packed-sdk.ts';
import { spending } from './spending.ts';
import { startWorld, type World } from './world.ts';

// The SDK and the command line as people get them, against one running system.

/** A story starts ten programs; on a busy machine each takes two seconds to start. */
const SLOW_MS = 120_000;

let world: World;
beforeAll(async () => {
  world = await startWorld();
}, STARTING_MS);
afterAll(async () => {
  await world?.end();
});

describe('the packed SDK', { timeout: SLOW_MS }, () => packedSdk(() => world));
describe('the command line', { timeout: SLOW_MS }, () => installedCommandLine(() => world));
describe('a chat', { timeout: SLOW_MS }, () => chatting(() => world));
describe('spending', { timeout: SLOW_MS }, () => spending(() => world));
describe('webhooks', { timeout: SLOW_MS }, () => hooks(() => world));
describe('a long batch', () => longBatch(() => world));

type Command = ReturnType<typeof createProgram>;
const leaves = (command: Command, words: readonly string[] = []): (readonly string[])[] =>
  command.commands.length === 0
    ? [words]
    : command.commands.flatMap((inner) => leaves(inner as Command, [...words, inner.name()]));

// Last: whoever adds a command adds its test.
test('each command of the command line was run by a test above', () => {
  const all = leaves(createProgram(async () => {}));
  expect(all.length).toBeGreaterThan(50);
  expect(all.filter((words) => !wasRun(words)).map((words) => words.join(' '))).toEqual([]);
});
