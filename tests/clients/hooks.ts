import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { verifyWebhook } from '@aitbc/sdk';
import { rememberSecret } from '@aitbc/testing';
import { expect, test } from 'vitest';
import { commandsOf } from './commands.ts';
import type { World } from './world.ts';

/** Webhooks from a terminal, and one that arrives. */
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

  test('a callback arrives and is verified; deliveries and redeliver', async () => {
    const { aitbc } = terminal((await world().coordinator.newAccount(['client'])).key);
    const secret = rememberSecret(good(await aitbc('webhooks', 'rotate-secret', 'callbacks')).trim());
    const received: { id: string; event: unknown }[] = [];
    const server = createServer(async (request, response) => {
      const event = await verifyWebhook(await text(request), request.headers, secret).catch(String);
      received.push({ id: String(request.headers['webhook-id']), event });
      response.writeHead(204).end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const run = ['jobs', 'run', 'language_detection', '-p', 'text=Wann kommt der Zug?', '--json'];
      const job = json(await aitbc(...run, '--callback', `${origin}/done`));
      await expect.poll(() => received.length, { timeout: 30_000 }).toBe(1);
      expect(received[0]?.event).toMatchObject({
        type: 'job.completed',
        data: { job_id: job.id, status: 'completed' },
      });
      const [webhook] = json(await aitbc('webhooks', 'list', '--json'));
      expect(webhook).toMatchObject({ kind: 'callback', url: origin });
      const deliveries = () => aitbc('webhooks', 'deliveries', webhook.id, '--status', 'delivered');
      await expect
        .poll(async () => good(await deliveries()), { timeout: 30_000 })
        .toMatch(/ job.completed +delivered +204 +1 /);
      const id = good(await deliveries())
        .split('\n')[1]
        ?.split(' ')[0] as string;
      expect(good(await aitbc('webhooks', 'redeliver', webhook.id, id))).toContain(id);
      await expect.poll(() => received.length, { timeout: 30_000 }).toBe(2);
      expect(received[1]).toEqual(received[0]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
};
