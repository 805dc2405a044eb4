import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { readOrigin } from './origin.ts';

const PEER = '10.9.9.9';
const from = (headers: Record<string, string>, trusted: number) =>
  readOrigin({ headers, socket: { remoteAddress: PEER } } as unknown as IncomingMessage, trusted);
const madeUp = (count: number) => Array.from({ length: count }, (_, index) => `192.0.2.${index % 256}`);

describe('of what stands in X-Forwarded-For only the entries of our own proxies count', () => {
  test.each([0, 1, 31, 32, 33, 1_000])('after %i that the caller made up', (count) => {
    const forwarded = [...madeUp(count), '203.0.113.9', '10.0.0.2', '10.0.0.1'].join(', ');
    const address = (trusted: number) => from({ 'x-forwarded-for': forwarded }, trusted).address;
    expect([0, 1, 2, 3].map(address)).toEqual([PEER, '10.0.0.1', '10.0.0.2', '203.0.113.9']);
  });

  test('also of what stands in X-Forwarded-Proto', () => {
    const protocol = (text: string, trusted: number) =>
      from({ 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': text }, trusted).isEncrypted;
    expect(protocol(`${'https,'.repeat(40)}http`, 1)).toBe(false);
    expect(protocol(`${'http,'.repeat(40)}https`, 1)).toBe(true);
    expect(protocol('https', 0)).toBe(false);
  });

  test('with fewer entries than proxies, the leftmost is what the first of them saw', () => {
    expect(from({ 'x-forwarded-for': '203.0.113.9' }, 3).address).toBe('203.0.113.9');
  });

  test.each([
    ['203.0.113.9:4711', '203.0.113.9'],
    ['[2001:db8::1]:4711', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['2001:db8::1', '2001:db8::1'],
    ['2001:db8::1:4711', '2001:db8::1:4711'],
    ['192.0.2.1, 203.0.113.9:4711', '203.0.113.9'],
  ])('%j names its address with or without a port', (text, address) => {
    expect(from({ 'x-forwarded-for': text }, 1).address).toBe(address);
  });

  test.each([
    '',
    ',',
    '[203.0.113.9]:80',
    '203.0.113.9:port',
    '203.0.113.9:',
    '[::1',
    '::1]:80',
    '[::1]x',
    'unknown',
    '203.0.113.9, ',
    '203.0.113.9:80 x',
  ])('%j is no address: the peer', (text) => {
    expect(from({ 'x-forwarded-for': text }, 1).address).toBe(PEER);
  });
});
