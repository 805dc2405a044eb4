import { execFile, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { CHROMIUM, CHROMIUM_ARGUMENTS } from '../browser/chromium.ts';
import { environment, examplesOf, nodes, root, type World } from './world.ts';

const run = promisify(execFile);

/** What each example of the page prints. */
const PRINTS: Record<string, string> = {
  'run.mjs': 'de\n',
  'watch.mjs': 'pending\nrunning\ncompleted\n',
  'batch.mjs': '0 de\n1 it\n2 en\n',
  'list.mjs': '[0-9a-f-]{36} language_detection\n\\d+\n',
  'errors.mjs': 'parameters.text\n',
  'verify.mjs': 'true true\ntrue true\n',
};

/** The package as somebody gets it: out of a tarball, in a folder of its own. */
export const packedSdk = (world: () => World) => {
  const examples = examplesOf('clients/sdk/README.md');

  test('every example of the page is run', () => {
    expect([...examples.keys()].sort()).toEqual([...Object.keys(PRINTS), 'page.html'].sort());
  });

  describe.each(nodes)('with $name', ({ path }) => {
    test.each(Object.keys(PRINTS))('the example %s does what the page says', async (name) => {
      const { folder } = world();
      writeFileSync(join(folder, name), examples.get(name) ?? '');
      const { stdout, stderr } = await run(path, [name], { cwd: folder, env: environment(world()) });
      expect(stdout).toMatch(new RegExp(`^${PRINTS[name]}$`));
      // Node 20 calls Ed25519 in WebCrypto experimental.
      expect(stderr.replace(/^.*(ExperimentalWarning|--trace-warnings).*\n/gm, '')).toBe('');
    });
  });

  test.skipIf(CHROMIUM === undefined)('in a browser', { timeout: 60_000 }, async () => {
    const { folder, coordinator } = world();
    const page = (examples.get('page.html') ?? '')
      .replace("'AITBC_URL'", JSON.stringify(coordinator.url))
      .replace("'AITBC_API_KEY'", JSON.stringify(coordinator.keys.client));
    const checks = `<script type="module">
      import { Aitbc, verifyReceipt } from './node_modules/@aitbc/sdk/index.js';
      const client = new Aitbc({ baseUrl: ${JSON.stringify(coordinator.url)}, apiKey: ${JSON.stringify(coordinator.keys.client)} });
      const { id } = await client.jobs.submit('language_detection', { text: 'Buongiorno a tutti' });
      const types = [];
      for await (const { type } of client.jobs.watch(id)) types.push(type);
      const [receipt] = await client.jobs.receipts(id);
      const { valid } = await verifyReceipt(receipt, await client.explorer.receiptKeys());
      const refusal = await client.jobs.submit('ocr', {}).catch((error) => [error.code, error.requestId !== undefined].join());
      document.title = [...types, valid, refusal].join(' ');
    </script>`;
    const server = createServer((request, response) => {
      const isScript = request.url?.endsWith('.js') === true;
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
      response.end(
        isScript ? readFileSync(join(folder, request.url ?? '')) : `<body></body>${page}${checks}`,
      );
    });
    server.listen(0, '127.0.0.1');
    const browser = await chromium.launch({ executablePath: CHROMIUM as string, args: CHROMIUM_ARGUMENTS });
    try {
      const tab = await browser.newPage();
      await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      await expect.poll(() => tab.textContent('body'), { timeout: 30_000 }).toContain('de');
      await expect
        .poll(() => tab.title(), { timeout: 30_000 })
        .toBe('pending running completed true VALIDATION_ERROR,true');
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
