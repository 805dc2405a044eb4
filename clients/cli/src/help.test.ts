import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { candidates } from './commands/completion.ts';
import { createProgram, VERSION } from './program.ts';

const program = createProgram(async () => {});
const all = (command: Command, path: string): [string, Command][] => [
  [path, command],
  ...command.commands.flatMap((inner) => all(inner, `${path} ${inner.name()}`)),
];
const commands = all(program, 'aitbc').filter(([path]) => !path.endsWith(' complete'));

test.each(commands)('%s --help', (_, command) => {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 80 });
  command.outputHelp();
  expect(text).toMatchSnapshot();
  // A terminal of 80 columns breaks longer ones where it likes.
  expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
});

test('every command says what it does, and none hides an option without a word', () => {
  for (const [path, command] of commands)
    expect([path, command.description().length]).toEqual([path, expect.toSatisfy((length) => length > 5)]);
});

test('it says the version of its package', () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  expect(VERSION).toBe(version);
});

test('the shell is told what may follow', () => {
  expect(candidates(program, ['jobs', 'l'])).toEqual(['list']);
  expect(candidates(program, ['g'])).toEqual(['gov', 'gpus']);
  expect(candidates(program, ['admin', 'keys', ''])).toEqual(['create', 'list', 'revoke']);
  expect(candidates(program, ['jobs', 'list', '--l'])).toEqual(['--label', '--limit']);
  expect(candidates(program, ['--js'])).toEqual(['--json']);
});
