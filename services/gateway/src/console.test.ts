import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchDirectory } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestGateway, type TestGateway } from './testing/gateway.ts';

// How the console's built files are given out; what is in them is for tests/browser.

const PAGE =
  '<!doctype html><title>AITBC</title><script type="module" src="/assets/index-abc123.js"></script>';
const SCRIPT = `console.log(${JSON.stringify('x'.repeat(2_000))})`;

let gateway: TestGateway;
beforeAll(async () => {
  const folder = scratchDirectory();
  mkdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, 'index.html'), PAGE);
  writeFileSync(join(folder, 'assets/index-abc123.js'), SCRIPT);
  gateway = await startTestGateway({ CONSOLE_DIR: folder });
});
afterAll(() => gateway.stop());

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(gateway.url + path, { method, headers });

test.each(['/', '/jobs', '/jobs/0190a1b2-0000-7000-8000-000000000000', '/explorer/blocks/7?tab=proofs'])(
  'a browser that asks for %s gets the page, which may run nothing but its own files',
  async (path) => {
    const response = await get(path, { accept: BROWSER });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(PAGE);
    expect(response.headers.get('cache-control')).toBe('no-cache');
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("script-src 'self';");
    expect(policy).toContain("style-src 'self';");
    expect(policy).not.toContain('unsafe');
    expect(response.headers.get('x-frame-options')).toBe('DENY');
  },
);

test('a page that a browser has is not sent again', async () => {
  const tag = (await get('/', { accept: BROWSER })).headers.get('etag') ?? '';
  const again = await get('/jobs', { accept: BROWSER, 'if-none-match': tag });
  expect(again.status).toBe(304);
  expect((await get('/', { accept: BROWSER, 'if-none-match': '"other"' })).status).toBe(200);
});

test('a file whose name says what is in it is kept for a year, and travels packed', async () => {
  const response = await get('/assets/index-abc123.js');
  expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  expect(response.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
  expect(response.headers.get('content-encoding')).toBe('gzip');
  expect(await response.text()).toBe(SCRIPT);
  const plain = await get('/assets/index-abc123.js', { 'accept-encoding': 'identity' });
  expect(plain.headers.get('content-encoding')).toBeNull();
  expect(await plain.text()).toBe(SCRIPT);
  expect(await (await get('/assets/index-abc123.js', {}, 'HEAD')).text()).toBe('');
});

test.each([
  ['a program, which does not ask for a page', '/', '*/*', 'GET', 404],
  ['a wrong path of the API, from a browser too', '/v1/nothing', BROWSER, 'GET', 404],
  ['a wrong path under /api', '/api/nothing', BROWSER, 'GET', 404],
  ['a file that is not there', '/assets/gone.js', BROWSER, 'GET', 404],
  ['another method', '/jobs', BROWSER, 'POST', 404],
])('%s is told in the one error shape', async (_what, path, accept, method, status) => {
  const response = await get(path, { accept }, method);
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ error: { code: 'NOT_FOUND' } });
});

test('what stood there before stands there still', async () => {
  expect(await (await get('/docs', { accept: BROWSER })).text()).toContain(
    '/docs/assets/swagger-ui-bundle.js',
  );
  expect((await get('/health', { accept: BROWSER })).headers.get('content-type')).toContain('json');
});
