import { afterEach, expect, it, vi } from 'vitest';
import { Id, newId } from './ids.ts';

afterEach(() => {
  vi.useRealTimers();
});

it('rises, is new each time, and is a UUIDv7 of now', () => {
  const before = Date.now();
  const ids = Array.from({ length: 10_000 }, newId);
  expect([...new Set(ids)].sort()).toEqual(ids);
  for (const id of ids) expect(Id.parse(id)).toBe(id);
  const msOf = (id = '') => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  expect(msOf(ids[0])).toBeGreaterThanOrEqual(before);
  expect(msOf(ids.at(-1))).toBeLessThanOrEqual(Date.now());
});

it('rises within a millisecond, and when the clock goes back', () => {
  vi.useFakeTimers({ now: Date.now() + 10_000 });
  const ids = Array.from({ length: 1_000 }, newId);
  vi.setSystemTime(Date.now() - 5_000);
  ids.push(...Array.from({ length: 1_000 }, newId));
  expect([...new Set(ids)].sort()).toEqual(ids);
  // What is random is so in each of them, also beyond one pool.
  expect(new Set(ids.map((id) => id.slice(-8))).size).toBeGreaterThan(1_990);
});
