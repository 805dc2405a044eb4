import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Offer, type Requirement, rankOf, requirementOf, requirementText, satisfies } from './match.ts';

const offer = (changes: Partial<Offer> = {}): Offer => ({
  capabilities: ['llm_inference', 'ocr'],
  gpus: [
    { model: 'NVIDIA GeForce RTX 4090', vram_gb: 24 },
    { model: 'NVIDIA A100-SXM4-80GB', vram_gb: 80 },
  ],
  cuda_version: '12.4',
  models: ['llama3.2:1b'],
  region: 'eu-west',
  price_per_job_minor: 150_000_000,
  reputation: 1,
  ...changes,
});
const wants = (changes: Partial<Requirement> = {}): Requirement => ({
  job_type: 'llm_inference',
  model: null,
  gpu_model: null,
  min_vram_gb: null,
  cuda_version_min: null,
  region: null,
  price_cap_minor: null,
  ...changes,
});

describe('satisfies', () => {
  test.each([
    ['nothing special', wants(), true],
    ['another type', wants({ job_type: 'embedding' }), false],
    ['a model it has', wants({ model: 'llama3.2:1b' }), true],
    ['a model it has not', wants({ model: 'mistral' }), false],
    ['a card, as people write it', wants({ gpu_model: 'rtx 4090' }), true],
    ['a card by its family', wants({ gpu_model: 'a 100' }), true],
    ['part of a word of a card', wants({ gpu_model: 'rtx 409' }), false],
    ['a card it has not', wants({ gpu_model: 'h 100' }), false],
    ['memory that one card has', wants({ min_vram_gb: 80 }), true],
    ['memory that no card has', wants({ min_vram_gb: 81 }), false],
    ['memory that another card has', wants({ gpu_model: 'rtx 4090', min_vram_gb: 25 }), false],
    ['an older CUDA', wants({ cuda_version_min: '12.3' }), true],
    ['its CUDA', wants({ cuda_version_min: '12.4' }), true],
    ['a newer minor: 12.10 is above 12.4', wants({ cuda_version_min: '12.10' }), false],
    ['a newer major', wants({ cuda_version_min: '13' }), false],
    ['its region', wants({ region: 'eu-west' }), true],
    ['another region', wants({ region: 'us' }), false],
    ['its price', wants({ price_cap_minor: 150_000_000 }), true],
    ['less than its price', wants({ price_cap_minor: 149_000_000 }), false],
  ])('%s', (_, requirement, expected) => {
    expect(satisfies(offer(), requirement)).toBe(expected);
  });

  test('a miner without CUDA or region meets no demand for one; without a model list, any', () => {
    const bare = offer({ cuda_version: null, region: null, models: [] });
    expect(satisfies(bare, wants({ cuda_version_min: '11' }))).toBe(false);
    expect(satisfies(bare, wants({ region: 'eu' }))).toBe(false);
    expect(satisfies(bare, wants({ model: 'mistral' }))).toBe(true);
  });
});

describe('requirementOf', () => {
  const job = (changes: object = {}, constraints: object = {}) =>
    requirementOf({
      job_type: 'llm_inference',
      parameters: { model: 'llama3.2:1b', prompt: 'hello' },
      constraints,
      payment_amount_minor: null,
      ...changes,
    });

  test('the lower of limit and payment is the cap, rounded down to two digits', () => {
    expect(job().price_cap_minor).toBeNull();
    expect(job({}, { max_price: 1.29 }).price_cap_minor).toBe(120_000_000);
    expect(job({ payment_amount_minor: 99_999_999 }, { max_price: 1.29 }).price_cap_minor).toBe(99_000_000);
    expect(job({ payment_amount_minor: 7 }).price_cap_minor).toBe(7);
    expect(job({}, { max_price: 0 }).price_cap_minor).toBe(0);
  });

  test('no cap is ever above what the client agreed to, nor more than a tenth below', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 ** 15 }), (minor) => {
        const cap = job({ payment_amount_minor: minor }).price_cap_minor as number;
        expect(cap).toBeLessThanOrEqual(minor);
        expect(cap).toBeGreaterThan(minor * 0.9);
      }),
    );
  });

  test('prompts do not make lanes; spellings of the same wish do not either', () => {
    const text = (requirement: Requirement) => requirementText(requirement);
    const one = job({}, { gpu_model: 'RTX-4090', region: ' EU-West', min_vram_gb: 15.2 });
    const two = job(
      { parameters: { model: 'llama3.2:1b', prompt: 'other' } },
      { gpu_model: 'rtx 4090', region: 'eu-west', min_vram_gb: 16 },
    );
    expect(text(one)).toBe(text(two));
    expect(text(job({ job_type: 'ocr' }))).not.toBe(text(job()));
  });
});

describe('rankOf', () => {
  test('cheaper, more trusted and emptier come first, in this order', () => {
    const free = offer({ price_per_job_minor: 0 });
    expect(rankOf(free, 0)).toBeLessThan(rankOf(offer(), 0));
    expect(rankOf(free, 0)).toBeLessThan(rankOf({ ...free, reputation: 0.5 }, 0));
    expect(rankOf(free, 0)).toBeLessThan(rankOf(free, 0.5));
    // Expected price of a success: 1 at 0.5 is worth 2 at 1.
    const unsure = offer({ price_per_job_minor: 100_000_000, reputation: 0.5 });
    expect(rankOf(unsure, 0)).toBeGreaterThan(rankOf(offer({ price_per_job_minor: 190_000_000 }), 0));
  });
});
