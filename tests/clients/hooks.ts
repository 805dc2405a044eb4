import { expect, test } from 'vitest';
import { commandsOf } from './commands.ts';
import type { World } from './world.ts';

/** Webhooks from a terminal. What receives them is refused here: no loopback address is ever called. */
export const hooks = (world: () => World) => {
  const { terminal, good, json } = commandsOf(world);

  test('webhooks: add, list, show, update, rotate-secret, remove', async () => {
    const { aitbc } = terminal((await world().coordinator.newAccount(['client'])).key);
    expect(await aitbc('webhooks', 'list')).toMatchObject({ exit: 0, stderr: 'No webhooks.\n' });
    const events = ['-e', 'job.completed', '-e', 'job.failed'];
    const added = await aitbc('webhooks', 'add', 'https://example.org/hooks', ...events, '--about', 'a test');
    expect(good(added)).toMatch(/^whsec_\S+\n$/);
    const id = /webhook is ([0-9a-f-]{36})/.exec(added.stderr)?.[1] as string;
    const [list, shown, wrong] = await Promise.all([
      aitbc('webhooks', 'list'),
      aitbc('webhooks', 'show', id),
      aitbc('webhooks', 'add', 'https://example.org/hooks', '-e', 'job.began'),
    ]);
    expect(good(list)).toMatch(
      new RegExp(`${id} +on +0 +https://example.org/hooks +job.completed job.failed`),
    );
    expect(good(shown)).toMatch(/about +a test\nresults +not sent\nstate +on\n/);
    expect(wrong).toMatchObject({ exit: 2, stderr: expect.stringContaining('events.0') });

    const off = json(await aitbc('webhooks', 'update', id, '--off', '--with-result', '--json'));
    expect(off).toMatchObject({ enabled: false, disabled_reason: 'owner', include_result: true });
    const [both, nothing, on] = await Promise.all([
      aitbc('webhooks', 'update', id, '--on', '--off'),
      aitbc('webhooks', 'update', id),
      aitbc('webhooks', 'update', id, '--on', '-e', 'miner.inactive'),
    ]);
    expect(both).toMatchObject({ exit: 2, stderr: expect.stringContaining('cannot be both') });
    expect(nothing).toMatchObject({ exit: 2, stderr: expect.stringContaining('what to change') });
    expect(good(on)).toMatch(/events +miner.inactive\n[\s\S]*state +on\n/);

    const rotated = await aitbc('webhooks', 'rotate-secret', id, '--overlap', '60');
    expect(good(rotated)).toMatch(/^whsec_\S+\n$/);
    expect(rotated.stdout).not.toBe(added.stdout);
    expect(rotated.stderr).toContain('The old one is good until 20');
    expect(good(await aitbc('webhooks', 'remove', id))).toBe(`${id} removed\n`);
    expect(await aitbc('webhooks', 'show', id)).toMatchObject({ exit: 4 });
  });

  test('webhooks: deliveries and redeliver, of a job with a callback', async () => {
    const { aitbc } = terminal((await world().coordinator.newAccount(['client'])).key);
    const run = ['jobs', 'run', 'language_detection', '-p', 'text=Wann kommt der Zug?', '--json'];
    const job = json(await aitbc(...run, '--callback', 'http://127.0.0.1:9/done'));
    const made = async () => json(await aitbc('webhooks', 'list', '--json'))[0];
    await expect
      .poll(made, { timeout: 30_000 })
      .toMatchObject({ kind: 'callback', url: 'http://127.0.0.1:9' });
    const { id } = await made();
    const deliveries = async () => json(await aitbc('webhooks', 'deliveries', id, '--json'));
    await expect
      .poll(async () => (await deliveries())[0]?.attempts[0]?.error, { timeout: 30_000 })
      .toBe('address_refused');
    const [delivery] = await deliveries();
    expect(delivery).toMatchObject({ type: 'job.completed', object_id: job.id });
    expect(good(await aitbc('webhooks', 'deliveries', id))).toMatch(
      new RegExp(`${delivery.id} +job.completed +waiting +address refused +`),
    );
    const [again, callbacks] = await Promise.all([
      aitbc('webhooks', 'redeliver', id, delivery.id),
      aitbc('webhooks', 'rotate-secret', 'callbacks'),
    ]);
    expect(good(again)).toContain(delivery.id);
    expect(good(callbacks)).toMatch(/^whsec_\S+\n$/);
    await expect
      .poll(async () => (await deliveries())[0].attempts.length, { timeout: 30_000 })
      .toBeGreaterThan(1);
  });
};
