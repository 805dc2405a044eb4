import { routes } from '@aitbc/contracts';
import { expect, test } from 'vitest';
import { must } from '../coordinator.ts';
import { commandsOf } from './commands.ts';
import type { World } from './world.ts';

/** What leaves an account, and what is written down of it. */
export const spending = (world: () => World) => {
  const { terminal, good, json } = commandsOf(world);

  test('wallet send asks before it sends, history and usage tell of it', async () => {
    const { coordinator } = world();
    const [giver, taker] = await Promise.all([
      coordinator.newAccount(['client', 'trade']),
      coordinator.newAccount(['client']),
    ]);
    must(
      await coordinator.admin.call(routes.payments.credit, {
        params: { account_id: giver.id },
        body: { amount: 100, reason: 'to give away' },
      }),
    );
    const { aitbc, onTerminal } = terminal(giver.key);
    const send = ['wallet', 'send', taker.id];

    const [unasked, refused, poor] = await Promise.all([
      aitbc(...send, '5'),
      onTerminal([['cannot be taken back', 'n']], ...send, '5'),
      aitbc(...send, '500', '--yes'),
    ]);
    expect(unasked).toMatchObject({ exit: 2, stdout: '', stderr: expect.stringContaining('--yes') });
    expect(refused).toMatchObject({ exit: 1, stdout: expect.stringContaining('Nothing was sent.') });
    expect(refused.stdout).toContain(`Send 5 AITBC to ${taker.id}?`);
    expect(poor).toMatchObject({ exit: 6, stderr: expect.stringContaining('wallet balance') });
    expect(json(await aitbc('wallet', 'balance', '--json')).available).toBe(100);

    const agreed = await onTerminal([['cannot be taken back', 'y']], ...send, '5', '--memo', '=for tea');
    expect(agreed).toMatchObject({ exit: 0, stdout: expect.stringContaining('5 AITBC') });
    const keyed = [...send, '2.5', '--yes', '--idempotency-key', 'invoice-17', '--json'];
    const [first, again] = [json(await aitbc(...keyed)), json(await aitbc(...keyed))];
    expect(first).toMatchObject({ amount: 2.5, to: { account_id: taker.id }, memo: null });
    expect(again).toEqual(first);

    const [table, entries, csv, got, forbidden] = await Promise.all([
      aitbc('wallet', 'history'),
      aitbc('wallet', 'history', '-n', '2', '--json'),
      aitbc('wallet', 'history', '--csv'),
      terminal(taker.key).aitbc('wallet', 'history', '--json'),
      terminal(taker.key).aitbc('wallet', 'send', giver.id, '1', '--yes'),
    ]);
    const rows = good(table)
      .trim()
      .split('\n')
      .map((line) => line.split(/ {2,}/).slice(1, 5));
    expect(rows).toEqual([
      ['kind', 'AITBC', 'balance', 'memo'],
      ['transfer', '-2.5', '92.5', '–'],
      ['transfer', '-5', '95', '=for tea'],
      ['credit', '+100', '100', expect.any(String)],
    ]);
    expect(json(entries).map(({ amount }: { amount: number }) => amount)).toEqual([-2.5, -5]);
    const lines = good(csv).trim().split(/\r?\n/);
    expect(lines).toHaveLength(4);
    expect(lines[0]).toMatch(/^"time","kind","amount","balance",/);
    expect(lines[2]).toContain(`,"'=for tea",`);
    expect(json(got).map(({ balance }: { balance: number }) => balance)).toEqual([7.5, 5]);
    expect(forbidden).toMatchObject({ exit: 3, stderr: expect.stringContaining('whoami') });
  });

  test('usage: by day, by type, and all of it', async () => {
    const { aitbc } = terminal((await world().coordinator.newAccount(['client'])).key);
    expect(await aitbc('usage')).toMatchObject({ exit: 0, stderr: 'No jobs ended in that time.\n' });
    good(await aitbc('jobs', 'run', 'language_detection', '-p', 'text=Wie viel kostet das?'));
    good(await aitbc('chat', '-m', 'talker', 'How much?'));
    const [days, types, all, wrong] = await Promise.all([
      aitbc('usage'),
      aitbc('usage', '--by', 'job_type,model'),
      aitbc('usage', '--by', 'key', '--json'),
      aitbc('usage', '--by', 'colour'),
    ]);
    expect(good(days)).toMatch(/^day +jobs +AITBC +completed .*\n\d{4}-\d\d-\d\d +2 +0 +2 /);
    expect(good(types)).toMatch(/^type +model +jobs/);
    expect(good(types)).toMatch(/\nchat_completion +talker +1 /);
    expect(good(types)).toMatch(/\ntotal +2 +0 +2 /);
    expect(json(all)).toMatchObject({
      items: [{ key_id: expect.any(String), jobs: 2 }],
      total: { jobs: 2, completed: 2, spend: 0 },
    });
    expect(wrong).toMatchObject({ exit: 2, stderr: expect.stringContaining('group_by') });
  });
};
