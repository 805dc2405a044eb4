import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as domain from './domain.ts';

describe('a key made here', () => {
  test('has its form, 256 random bits and a checksum that fits', () => {
    const keys = Array.from({ length: 50 }, () => domain.keyOf('live', randomBytes(32)));
    expect(new Set(keys).size).toBe(50);
    for (const key of keys) {
      expect(key).toMatch(/^ak_live_[A-Za-z0-9_-]{49}$/);
      expect(domain.hasGoodChecksum(key)).toBe(true);
    }
  });

  test('with any one character changed has a checksum that does not fit', () => {
    const key = domain.keyOf('dev', randomBytes(32));
    fc.assert(
      fc.property(
        fc.integer({ min: 7, max: key.length - 1 }),
        fc.constantFrom(...'aZ09_-x'),
        (at, character) => {
          const changed = key.slice(0, at) + character + key.slice(at + 1);
          return changed === key || !domain.hasGoodChecksum(changed);
        },
      ),
    );
  });

  test('a key of any other form has no checksum to break', () => {
    for (const key of ['0123456789abcdef', 'ak_dev_short', 'client-key']) {
      expect(domain.hasGoodChecksum(key)).toBe(true);
    }
  });

  test('shows a quarter of itself at most', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 16, maxLength: 200 }), (key) => {
        const shown = domain.shownPrefix(key);
        return key.startsWith(shown) && shown.length * 4 <= key.length && shown.length <= 12;
      }),
    );
  });
});

describe('what ends when', () => {
  test.each([
    [null, null, null],
    [null, 1_001, null],
    [null, 1_000, 'expired'],
    [900, null, 'revoked'],
    [900, 5_000, 'revoked'],
  ])(
    'a key revoked at %s and expiring at %s is, at 1000, refused as %s',
    (revoked_at_ms, expires_at_ms, refusal) =>
      expect(domain.keyRefusal({ revoked_at_ms, expires_at_ms }, 1_000)).toBe(refusal),
  );

  test('a session ends idle or at its end, whichever comes first', () => {
    const day = domain.SESSION_IDLE_MS;
    expect(domain.sessionEndsAt({ last_used_at_ms: 5, expires_at_ms: 7 * day })).toBe(day + 5);
    expect(domain.sessionEndsAt({ last_used_at_ms: 6.5 * day, expires_at_ms: 7 * day })).toBe(7 * day);
  });

  test('an overlap never makes a key live longer than it would have', () => {
    fc.assert(
      fc.property(fc.option(fc.nat()), fc.nat(604_800), fc.nat(), (expires_at_ms, seconds, now) => {
        const ends = domain.overlapEndsAt({ expires_at_ms }, seconds, now);
        return ends <= now + seconds * 1_000 && ends <= (expires_at_ms ?? ends);
      }),
    );
  });
});

test('a key of several lists has the scopes of all', () => {
  const keys = domain.bootstrapKeys({
    API_KEYS: ['both'],
    CLIENT_API_KEYS: ['one', 'shared'],
    MINER_API_KEYS: ['shared'],
    ADMIN_API_KEYS: ['shared', 'root'],
  });
  expect(Object.fromEntries(keys)).toEqual({
    both: ['client', 'miner'],
    one: ['client'],
    shared: ['admin', 'client', 'miner'],
    root: ['admin'],
  });
});
