import { execFile, spawn, spawnSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { freePort, rememberSecret } from '@aitbc/testing';
import { chromium } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { CHROMIUM, CHROMIUM_ARGUMENTS } from '../browser/chromium.ts';
import { environment, examplesOf, nodes, root, type World } from './world.ts';

const run = promisify(execFile);

/** What each example of the page prints. */
const PRINTS: Record<string, string> = {
  'run.mjs': 'de\n',
  'watch.mjs': 'pending\nrunning\ncompleted\n',
  'chat.mjs': 'Hello, world\n0 AITBC, receipt [0-9a-f-]{36}\n',
  'account.mjs': '\\S+Z [a-z_]+ -?[\\d.]+ [\\d.]+\n\\d+ [\\d.]+\n',
  'batch.mjs': '0 de\n1 it\n2 en\n',
  'list.mjs': '[0-9a-f-]{36} [a-z_]+\n\\d+\n',
  'errors.mjs': 'parameters.text\n',
  'verify.mjs': 'true true\ntrue true\n',
};

/** The vector of the specification of webhooks. */
const SIGNED = {
  'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  'webhook-timestamp': '1614265330',
  'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
};

/** The package as somebody gets it: out of a tarball, in a folder of its own. */
export const packedSdk = (world: () => World) => {
  const examples = examplesOf('clients/sdk/README.md');
  /** Those of the page that everybody sees first, for this coordinator. */
  const firstExample = (name: string): string =>
    (examplesOf('README.md').get(name) ?? '')
      .replace('http://127.0.0.1:8000', world().coordinator.url)
      .replace('YOUR_CLIENT_KEY', world().coordinator.keys.client);

  test('every example of the page is run', () => {
    expect([...examples.keys()].sort()).toEqual([...Object.keys(PRINTS), 'page.html', 'webhook.mjs'].sort());
    expect([...examplesOf('README.md').keys()]).toEqual([
      'three-lines.mjs',
      'three-lines.html',
      'three-lines.sh',
    ]);
  });

  describe.each(nodes)('with $name', ({ path }) => {
    test('the three lines of the first page, for a program and for a terminal', async () => {
      const { folder } = world();
      world().models.plan(() => undefined);
      const env = { PATH: `${dirname(path)}${delimiter}${process.env.PATH}`, HOME: folder };
      // On stdin: there is a key in them, and no file is to keep it.
      const given = async (name: string, program: string, ...args: string[]) => {
        const running = run(program, args, { cwd: folder, env });
        running.child.stdin?.end(firstExample(name));
        return (await running).stdout;
      };
      const [program, terminal] = await Promise.all([
        given('three-lines.mjs', path, '--input-type=module', '-'),
        given('three-lines.sh', 'sh', '-s'),
      ]);
      expect(program).toContain("language: 'de'");
      expect(JSON.parse(terminal)).toMatchObject({ language: 'de' });
    });

    // They know nothing of each other, and mostly wait.
    test.concurrent.each(Object.keys(PRINTS))('the example %s does what the page says', async (name) => {
      const { folder } = world();
      writeFileSync(join(folder, name), examples.get(name) ?? '');
      const { stdout, stderr } = await run(path, [name], { cwd: folder, env: environment(world()) });
      expect(stdout).toMatch(new RegExp(`^${PRINTS[name]}$`));
      // Node 20 calls Ed25519 in WebCrypto experimental.
      expect(stderr.replace(/^.*(ExperimentalWarning|--trace-warnings).*\n/gm, '')).toBe('');
    });

    test('the example webhook.mjs takes what is signed, and nothing else', async () => {
      const { folder } = world();
      writeFileSync(join(folder, 'webhook.mjs'), examples.get('webhook.mjs') ?? '');
      const key = randomBytes(32);
      const secret = rememberSecret(`whsec_${key.toString('base64')}`);
      const port = await freePort();
      const child = spawn(path, ['webhook.mjs'], {
        cwd: folder,
        env: { PATH: process.env.PATH, PORT: String(port), WEBHOOK_SECRET: secret },
      });
      let said = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
      try {
        const whole = '{"type":"job.completed"}';
        const seconds = Math.floor(Date.now() / 1_000);
        const signature = createHmac('sha256', key).update(`w-1.${seconds}.${whole}`).digest('base64');
        const send = (body: string) =>
          fetch(`http://127.0.0.1:${port}/`, {
            method: 'POST',
            headers: {
              'webhook-id': 'w-1',
              'webhook-timestamp': String(seconds),
              'webhook-signature': `v1,${signature}`,
            },
            body,
          }).then(({ status }) => status);
        await expect.poll(() => send(whole).catch(String), { timeout: 30_000 }).toBe(204);
        expect(await send(`${whole} `)).toBe(400);
        expect(said).toBe('w-1 job.completed\n');
      } finally {
        child.kill();
      }
    });
  });

  test.skipIf(CHROMIUM === undefined)('in a browser', async () => {
    const { folder, coordinator } = world();
    const page = (examples.get('page.html') ?? '')
      .replace("'AITBC_URL'", JSON.stringify(coordinator.url))
      .replace("'AITBC_API_KEY'", JSON.stringify(coordinator.keys.client));
    const checks = `<script type="module">
      import { Aitbc, verifyReceipt, verifyWebhook } from './node_modules/@aitbc/sdk/index.js';
      const client = new Aitbc({ baseUrl: ${JSON.stringify(coordinator.url)}, apiKey: ${JSON.stringify(coordinator.keys.client)} });
      const { id } = await client.jobs.submit('language_detection', { text: 'Buongiorno a tutti' });
      const types = [];
      for await (const { type } of client.jobs.watch(id)) types.push(type);
      const [receipt] = await client.jobs.receipts(id);
      const answer = await client.chat.run({ model: 'talker', messages: [{ role: 'user', content: 'Hi' }] });
      const hook = await verifyWebhook('{"test": 2432232314}', ${JSON.stringify(SIGNED)}, 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', { now: new Date(1614265330000) });
      const { valid } = await verifyReceipt(receipt, await client.explorer.receiptKeys());
      const refusal = await client.jobs.submit('ocr', {}).catch((error) => [error.code, error.requestId !== undefined].join());
      document.title = [...types, answer.text, hook.test === 2432232314, valid, refusal].join(' ');
    </script>`;
    const server = createServer((request, response) => {
      const isScript = request.url?.endsWith('.js') === true;
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
      const pages: Record<string, string> = {
        '/first': firstExample('three-lines.html'),
        '/': `${page}${checks}`,
      };
      response.end(
        isScript
          ? readFileSync(join(folder, request.url ?? ''))
          : `<body></body>${pages[request.url ?? ''] ?? ''}`,
      );
    });
    server.listen(0, '127.0.0.1');
    const browser = await chromium.launch({ executablePath: CHROMIUM as string, args: CHROMIUM_ARGUMENTS });
    try {
      const tab = await browser.newPage();
      await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      await expect.poll(() => tab.textContent('body'), { timeout: 60_000 }).toContain('de');
      await expect
        .poll(() => tab.title(), { timeout: 60_000 })
        .toBe('pending running completed Hello, world true true VALIDATION_ERROR,true');
      await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/first`);
      await expect.poll(() => tab.textContent('body'), { timeout: 60_000 }).toContain('"language":"de"');
    } finally {
      await browser.close();
      server.close();
    }
  });

  test('its types say what is wrong before it runs', () => {
    const { folder } = world();
    writeFileSync(
      join(folder, 'typed.ts'),
      `import { Aitbc, type Job } from '@aitbc/sdk';
const client = new Aitbc({ baseUrl: 'http://x' });
export const one: Promise<Job> = client.jobs.run('language_detection', { text: 'a' }, { payment_amount: 1 });
export const two = client.jobs.run('custom', { anything: 1 } as never);
export const ids: AsyncIterable<{ id: string }> = client.gpus.list({ available: true });
export const answer = client.chat.run({ model: 'm', messages: [{ role: 'user', content: 'a' }], temperature: 0 });
export const spent: Promise<number> = client.account.usage().page().then(({ total }) => total.spend);
// @ts-expect-error a message has a role
client.chat.stream({ model: 'm', messages: [{ content: 'a' }] });
// @ts-expect-error a number is no text
client.jobs.run('language_detection', { text: 1 });
// @ts-expect-error there is no such field
client.jobs.submit('language_detection', { text: 'a' }, { payment: 1 });
// @ts-expect-error there is no such operation
client.call('jobs.nothing', {});
// @ts-expect-error a parameter is missing
client.call('jobs.get', {});
`,
    );
    const tsc = spawnSync(
      process.execPath,
      [
        join(root, 'node_modules/typescript/bin/tsc'),
        ...'--noEmit --strict --target es2022 --module nodenext --lib es2022,dom,dom.asynciterable'.split(
          ' ',
        ),
        'typed.ts',
      ],
      { cwd: folder, encoding: 'utf8' },
    );
    expect(tsc.stdout).toBe('');
  });
};
