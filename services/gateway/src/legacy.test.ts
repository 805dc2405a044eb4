import { allRoutes } from '@aitbc/contracts';
import { buildOpenApi } from '@aitbc/contracts/openapi';
import { expect, test } from 'vitest';
import { hideKey } from './front/hide-key.ts';
import { KEYS, startTestGateway } from './testing/gateway.ts';

const MADE = `ak_live_${'a'.repeat(49)}`;
const hidden = (url: string, named?: string, secret = 'a-key-of-the-operator') => {
  const request = { url, headers: named === undefined ? {} : { 'x-miner-id': named } };
  hideKey(request as never, { kind: 'key', secret });
  return [request.url, request.headers['x-miner-id']];
};

test.each([
  ['/v1/miners/register?miner_id=a-key-of-the-operator&x=1', '/v1/miners/register?miner_id=default&x=1'],
  ['/v1/miners/register?miner_id=a%2Dkey-of-the-operator', '/v1/miners/register?miner_id=default'],
  ['/v1/miners/a-key-of-the-operator/earnings', '/v1/miners/default/earnings'],
  [`/v1/miners/${MADE}/jobs?miner_id=${MADE}`, '/v1/miners/default/jobs?miner_id=default'],
  ['/v1/miners/rig-1?miner_id=rig%201&empty=&bare', '/v1/miners/rig-1?miner_id=rig%201&empty=&bare'],
  ['/v1/miners/rig-a-key-of-the-operator', '/v1/miners/default'],
  ['/v1/miners?a=b?miner_id=a-key-of-the-operator', '/v1/miners?a=default'],
  ['/v1/miners?a-key-of-the-operator', '/v1/miners?default'],
  ['/v1/miners?a=1?2', '/v1/miners?a=1?2'],
  ['/v1/miners/%zz', '/v1/miners/%zz'],
])('%s goes on as %s', (given, passed) => expect(hidden(given)[0]).toBe(passed));

test('in the header too, and no other name is touched', () => {
  expect(hidden('/', 'a-key-of-the-operator')[1]).toBe('default');
  expect(hidden('/', ' a-key-of-the-operator ')[1]).toBe('default');
  expect(hidden('/', MADE)[1]).toBe('default');
  expect(hidden('/', 'ak_live_short')[1]).toBe('ak_live_short');
  expect(hidden('/')[1]).toBeUndefined();
});

test('each stands in the description as deprecated, with what to use instead', () => {
  const { paths } = buildOpenApi() as unknown as {
    paths: Record<string, Record<string, { deprecated?: boolean; tags: string[]; description: string }>>;
  };
  for (const { alias, path, method, name } of allRoutes) {
    const operation = paths[path.replace(/:([a-z_]+)/g, '{$1}')]?.[method.toLowerCase()];
    expect([name, operation?.deprecated ?? false]).toEqual([name, alias !== undefined]);
    if (alias === undefined) continue;
    expect(operation?.tags).toEqual(['AITBC compatibility']);
    expect(operation?.description).toContain(alias);
  }
});

test('with LEGACY_ROUTES=off none of them is there, nor described', async () => {
  const gateway = await startTestGateway({ LEGACY_ROUTES: 'off' });
  try {
    for (const { alias, path, method } of allRoutes) {
      if (alias === undefined) continue;
      const address = gateway.url + path.replace(/:[a-z_]+/g, 'x');
      const { status } = await fetch(address, { method, headers: { 'x-api-key': KEYS.client } });
      expect([method, path, status]).toEqual([method, path, 404]);
    }
    expect(gateway.upstream.heard).toEqual([]);
    const description = await (await fetch(`${gateway.url}/openapi.json`)).text();
    expect(description).not.toContain('legacy_');
    expect(description).toContain('jobs.submit');
  } finally {
    await gateway.stop();
  }
});
