import { routes } from '@aitbc/contracts';
import { expect, test } from 'vitest';
import { must } from '../coordinator.ts';
import { commandsOf } from './commands.ts';
import type { World } from './world.ts';

/** `aitbc chat`, through pipes and on a terminal, with a model that says what its question wants. */
export const chatting = (world: () => World) => {
  const { terminal, good, json } = commandsOf(world);
  const newestChat = async () => {
    const query = { job_type: 'chat_completion', limit: 1 } as const;
    return must(await world().coordinator.client2.call(routes.jobs.list, { query })).items[0];
  };
  const plan = () =>
    world().models.plan(({ messages = [] }) => {
      const text = JSON.stringify(messages);
      if (text.includes('for ever')) return { pieces: ['It ', 'begins'], end: 'hold' };
      return { pieces: [`${messages.length} `, 'messages', ', \u001b[31mred'] };
    });

  test('one question: the answer on stdout, what it cost on stderr', async () => {
    plan();
    const client = terminal('client');
    expect(good(await client.aitbc('models'))).toMatch(/talker +chat/);
    const [asked, piped, whole, unknown, nothing] = await Promise.all([
      client.aitbc('chat', '-m', 'talker@0.25', '-s', 'Be short', 'How', 'many?'),
      client.given('a file', 'chat', 'What is this?', '-', '--price', '0.5', '-p', 'temperature=0'),
      client.given('How many?', 'chat', '--json'),
      client.aitbc('chat', '-m', 'nobody-has-it', 'x'),
      client.aitbc('chat'),
    ]);
    // A file gets what was written, byte by byte.
    expect(good(asked)).toBe('2 messages, \u001b[31mred\n');
    expect(asked.stderr).toMatch(/^0\.25 AITBC · \d+ tokens · receipt [0-9a-f-]{36}\n$/);
    expect(piped).toMatchObject({ exit: 0, stderr: expect.stringContaining('0.5 AITBC') });
    expect(world().models.seen.chats).toContainEqual(
      expect.objectContaining({
        temperature: 0,
        messages: [{ role: 'user', content: 'What is this?\n\na file' }],
      }),
    );
    expect(json(whole)).toMatchObject({ text: '1 messages, \u001b[31mred', finish_reason: 'stop', price: 0 });
    expect(unknown).toMatchObject({
      exit: 4,
      stdout: '',
      stderr: expect.stringContaining('model_not_found'),
    });
    expect(nothing).toMatchObject({ exit: 2, stderr: expect.stringContaining('no question') });
  });

  test('Ctrl-C cancels the job', async () => {
    plan();
    const child = terminal('client2').start('chat', '-m', 'talker', 'Talk for ever');
    let said = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    await expect.poll(() => said, { timeout: 20_000 }).toBe('It begins');
    const ended = new Promise((done) => child.on('close', done));
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    await expect.poll(async () => (await newestChat())?.status, { timeout: 20_000 }).toBe('cancelled');
  });

  test('a talk on a terminal: it remembers, an answer can be stopped, and it tells what all cost', async () => {
    plan();
    const { exit, stdout } = await terminal('client2').onTerminal(
      [
        ['> ', 'first\r'],
        ['> ', 'second\r'],
        ['> ', 'Talk for ever\r'],
        ['It begins', '\u0003'],
        ['> ', 'third\r'],
        ['> ', '\u0004'],
      ],
      'chat',
    );
    expect(stdout).toContain('1 messages,  [31mred');
    expect(stdout).toContain('3 messages');
    expect(stdout).toContain('cancelled');
    // What was stopped half-way is no part of the talk.
    expect(stdout).toContain('5 messages');
    expect(stdout).toContain('3 answers, 0 AITBC');
    expect(exit).toBe(0);
    expect((await newestChat())?.status).toBe('completed');
  });
};
