import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createSocket } from 'node:net';
import { join } from 'node:path';
import { operationNames } from '@aitbc/sdk';
import { afterEach, expect, test } from 'vitest';
import { type Check, examine } from './examination.ts';
import { openTerminal } from './testing/terminal.ts';

type Answer = readonly [status: number, body: unknown, headers?: Record<string, string>];
const problem = (status: number, code: string, message: string, headers = {}): Answer => [
  status,
  { error: { code, message, details: {} } },
  headers,
];
const HEALTHY: Record<string, Answer> = {
  '/health': [200, { status: 'ok', service: 'gateway' }],
  '/health/ready': [200, { status: 'ok', service: 'gateway', dependencies: {} }],
  '/openapi.json': [
    200,
    { paths: { '/x': Object.fromEntries(operationNames.map((operationId, at) => [at, { operationId }])) } },
  ],
  '/v1/users/me': [200, { user_id: 'u', scopes: ['client'], sessions: [] }],
};

const open: { close(): unknown }[] = [];
afterEach(() => {
  for (const server of open.splice(0)) server.close();
});
const listen = async (server: Server): Promise<string> => {
  open.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
};
/** A coordinator as the doctor sees one, with something wrong. */
const coordinator = async (wrong: Record<string, Answer> = {}): Promise<string> => {
  const answers = { ...HEALTHY, ...wrong };
  const host = await listen(
    createServer((request, response) => {
      const [status, body, headers = {}] =
        answers[request.url ?? ''] ?? problem(404, 'NOT_FOUND', 'No such route.');
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    }),
  );
  return `http://${host}`;
};
/** In this process: a program takes its time to start, and there are many faults. */
const faultsAt = async (url: string, environment: Record<string, string> = {}): Promise<Check[]> => {
  const found: Check[] = [];
  const home = {
    AITBC_URL: url,
    AITBC_API_KEY: 'ak_x',
    XDG_CONFIG_HOME: openTerminal().home,
    ...environment,
  };
  for await (const check of examine(home, {}, new AbortController().signal)) found.push(check);
  return found.filter(({ state }) => state === 'fault');
};

test('all is well', async () => {
  const { exit, stdout } = await openTerminal({
    AITBC_URL: await coordinator(),
    AITBC_API_KEY: 'ak_x',
  }).aitbc('doctor');
  expect(stdout).toContain('good; may act as client');
  expect(stdout).toContain('All is well.');
  expect(stdout).not.toContain('\u001b[');
  expect(exit).toBe(0);
});

const freePort = async (): Promise<number> => {
  const server = createSocket();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
};

const FAULTS: Record<string, () => Promise<string>> = {
  no_server: async () => `http://127.0.0.1:${await freePort()}`,
  unknown_host: async () => 'http://coordinator.invalid',
  wrong_key: () =>
    coordinator({ '/v1/users/me': problem(401, 'UNAUTHENTICATED', 'This API key is not known.') }),
  expired_key: () =>
    coordinator({ '/v1/users/me': problem(401, 'UNAUTHENTICATED', 'This API key is expired.') }),
  clock_off: () =>
    coordinator({
      '/health': [
        200,
        { status: 'ok', service: 'gateway' },
        { date: new Date(Date.now() - 300_000).toUTCString() },
      ],
    }),
  wrong_base_url: () => coordinator({ '/health': problem(404, 'NOT_FOUND', 'No such route.') }),
  // It speaks plain HTTP where TLS is expected; a certificate that is not trusted is told by the same words.
  tls_error: async () => (await coordinator()).replace('http:', 'https:'),
  proxy_page: () =>
    coordinator({ '/health': [200, '<html><title>Sign in</title></html>', { 'content-type': 'text/html' }] }),
  rate_limited: () =>
    coordinator({
      '/v1/users/me': problem(429, 'RATE_LIMITED', 'Too many requests.', { 'retry-after': '42' }),
    }),
  service_down: () =>
    coordinator({
      '/health/ready': [
        503,
        {
          status: 'unavailable',
          service: 'gateway',
          dependencies: { jobs: { ok: false, required: true, message: null } },
        },
      ],
    }),
  old_server: () =>
    coordinator({ '/openapi.json': [200, { paths: { '/x': { get: { operationId: 'jobs.submit' } } } }] }),
  redirects: () => coordinator({ '/health': [301, '', { location: 'https://elsewhere.example' }] }),
};

test.each(Object.keys(FAULTS))('%s is named, with what to do', async (fault) => {
  const faults = await faultsAt(await (FAULTS[fault] as () => Promise<string>)());
  expect(faults.map((one) => one.fault)).toEqual([fault]);
  expect(faults[0]?.advice?.length).toBeGreaterThan(10);
});

test('a stored key that others can read', async () => {
  const url = await coordinator();
  const terminal = openTerminal();
  const folder = join(terminal.home, '.config/aitbc');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'credentials.json');
  writeFileSync(file, JSON.stringify({ current: 'default', profiles: { default: { url, secret: 'ak_x' } } }));
  chmodSync(file, 0o644);
  const { exit, stdout } = await terminal.aitbc('doctor');
  expect(stdout).toContain(`chmod 600 ${file}`);
  expect(exit).toBe(1);
});
