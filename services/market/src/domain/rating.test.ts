import { MINOR_PER_AITBC } from '@aitbc/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  evidenceOf,
  type Opinion,
  opinionAfter,
  ratingAfter,
  shownRating,
  UNRATED,
  weightOf,
} from './rating.ts';

type Said = { by: string; stars: number; paid: number };
const after = (said: readonly Said[]) => {
  const opinions = new Map<string, Opinion>();
  let gpu = UNRATED;
  for (const { by, stars, paid } of said) {
    const next = opinionAfter(opinions.get(by), stars, paid);
    gpu = ratingAfter(gpu, opinions.get(by), next);
    opinions.set(by, next);
  }
  return { gpu, opinions };
};
const many = (count: number, stars: number, paid: number, by = (n: number) => `${n}`): Said[] =>
  Array.from({ length: count }, (_, n) => ({ by: by(n), stars, paid }));

describe('a rating', () => {
  it('is not moved by reviews that cost nothing, however many accounts write them', () => {
    expect(after(many(20, 5, 1)).gpu).toEqual(UNRATED);
    expect(shownRating(after(many(10_000, 5, 1)).gpu)).toBeNull();
    expect(after(many(10_000, 5, 0)).gpu).toEqual(UNRATED);
    const rated = many(5, 4, 3 * MINOR_PER_AITBC, (n) => `honest ${n}`);
    expect(shownRating(after([...rated, ...many(20, 1, 1)]).gpu)).toBe(shownRating(after(rated).gpu));
  });

  it('comes from many who paid, and from no single one', () => {
    const one = shownRating(after(many(100, 5, 1_000 * MINOR_PER_AITBC, () => 'one')).gpu);
    expect(one).toBeLessThan(3.6);
    const twelve = shownRating(after(many(12, 5, 3 * MINOR_PER_AITBC)).gpu) as number;
    expect(twelve).toBeGreaterThan(4.6);
    const hurt = shownRating(
      after([...many(12, 5, 3 * MINOR_PER_AITBC), ...many(50, 1, 100 * MINOR_PER_AITBC, () => 'a grudge')])
        .gpu,
    ) as number;
    expect(twelve - hurt).toBeLessThan(0.3);
  });

  it('weighs what was paid, no more when it is split into many accounts', () => {
    expect(weightOf(MINOR_PER_AITBC)).toBe(1_000_000);
    expect(weightOf(1_000_000 * MINOR_PER_AITBC)).toBe(2_000_000);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 * MINOR_PER_AITBC }),
        fc.integer({ min: 2, max: 50 }),
        (paid, n) => {
          // Split, a sum weighs at most its straight line: 1 / ln 2 for each AITBC.
          expect(n * weightOf(Math.floor(paid / n))).toBeLessThanOrEqual(
            (paid / MINOR_PER_AITBC / Math.LN2) * 1_000_000,
          );
        },
      ),
    );
  });

  it('is always the weighted mean of the latest opinions, and exact', () => {
    const said = fc.record({
      by: fc.constantFrom('a', 'b', 'c', 'd'),
      stars: fc.integer({ min: 1, max: 5 }),
      paid: fc.integer({ min: 0, max: 10 * MINOR_PER_AITBC }),
    });
    fc.assert(
      fc.property(fc.array(said, { maxLength: 60 }), (all) => {
        const { gpu, opinions } = after(all);
        const weight = [...opinions.values()].reduce((sum, each) => sum + each.weight, 0);
        const weighted = [...opinions.values()].reduce((sum, each) => sum + each.weight * each.rating, 0);
        expect(gpu.rating_weight).toBe(UNRATED.rating_weight + weight);
        expect(gpu.rating_weighted).toBe(UNRATED.rating_weighted + weighted);
        expect(gpu.rating).toBe(gpu.rating_weighted / gpu.rating_weight);
        expect(gpu.rating).toBeGreaterThanOrEqual(1);
        expect(gpu.rating).toBeLessThanOrEqual(5);
        expect(evidenceOf(gpu)).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
