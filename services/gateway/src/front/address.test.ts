import { Problem } from '@aitbc/contracts';
import { describe, expect, test } from 'vitest';
import { readAddress } from './address.ts';

describe('an address that is accepted', () => {
  test.each([
    ['/v1/client/jobs', '/v1/client/jobs', ''],
    ['/api/v1/client/jobs?limit=1', '/v1/client/jobs', '?limit=1'],
    ['/api/v1', '/api/v1', ''],
    ['/api/v1/api/v1/miners', '/v1/api/v1/miners', ''],
    ['/v1/marketplace/pricing/RTX%204090', '/v1/marketplace/pricing/RTX%204090', ''],
    ['/v1/miners?a=..%2F..&b=//', '/v1/miners', '?a=..%2F..&b=//'],
    ['/.well-known/jwks.json', '/.well-known/jwks.json', ''],
    ['/v1/a..b/...', '/v1/a..b/...', ''],
    ['/v1/models/meta-llama%2FLlama-3.1-8B:q4', '/v1/models/meta-llama%2FLlama-3.1-8B:q4', ''],
    ['/api/v1/models/a%2fb%3Ac', '/v1/models/a%2fb%3Ac', ''],
  ])('%s', (given, path, query) => expect(readAddress(given)).toEqual({ path, query }));
});

describe('an address that two readers could read differently is refused', () => {
  test.each([
    'http://127.0.0.1/v1/miners',
    '*',
    '',
    'v1/miners',
    '//v1/miners',
    '/v1//miners',
    '/v1/miners//',
    '/v1/./miners',
    '/v1/../internal/dead-letters',
    '/v1/miners/..',
    '/v1/%2e%2e/internal',
    '/v1/%2E./internal',
    '/v1/.%2e/internal',
    '/v1%2fminers',
    '/v1%2Fminers',
    '/v1/models/..%2fminers',
    '/v1/models/a%2F..%2fb',
    '/v1/models/%2fetc',
    '/v1/models/a%2f%2fb',
    '/v1/models/a%2f',
    '/v1/models/a%5cb',
    '/v1/models/a%2fb/c%2fd',
    '/v1/models%2fa',
    '/v1%5cminers',
    '/v1\\miners',
    '/v1/..\\miners',
    '/v1/%252e%252e/internal',
    '/v1/miners%00',
    '/v1/miners%0d%0aX-Caller:%20a',
    '/v1/miners%7f',
    '/v1/%',
    '/v1/%zz',
    '/v1/%u002e',
    '/v1/miners#x',
    '/v1/mïners',
    '/v1/miners?a=ï',
    '/v1/miners?a b',
    '/v1/<script>',
    '/v1/{x}',
  ])('%s', (given) => {
    expect(() => readAddress(given)).toThrow(Problem);
    expect(() => readAddress(given)).toThrow('not accepted');
  });
});
