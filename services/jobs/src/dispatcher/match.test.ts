import { cardPhrases, modelKey } from '@aitbc/contracts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  abilityOf,
  type Capability,
  canRun,
  kindName,
  placeOf,
  type Requirement,
  rankOf,
  requirementName,
  requirementOf,
  satisfies,
} from './match.ts';

const ME = '0199c0de-0000-7000-8000-000000000001';
const OTHER = '0199c0de-0000-7000-8000-000000000002';

const offer = (changes: Partial<Capability> = {}): Capability => ({
  capabilities: ['llm_inference', 'ocr'],
  gpus: [
    { model: 'NVIDIA GeForce RTX 4090', vram_gb: 24 },
    { model: 'NVIDIA A100-SXM4-80GB', vram_gb: 80 },
  ],
  cuda_version: '12.4',
  models: ['llama3.2:1b'],
  region: 'eu-west',
  price_per_job_minor: 150_000_000,
  ...changes,
});
const wants = (changes: Partial<Requirement> = {}): Requirement => ({
  job_type: 'llm_inference',
  model: null,
  gpu_model: null,
  min_vram_gb: null,
  cuda_version_min: null,
  region: null,
  price_minor: 150_000_000,
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
    ['memory that no card has', wants({ min_vram_gb: 80.001 }), false],
    ['memory that another card has', wants({ gpu_model: 'rtx 4090', min_vram_gb: 25 }), false],
    ['an older CUDA', wants({ cuda_version_min: '12.3' }), true],
    ['its CUDA', wants({ cuda_version_min: '12.4' }), true],
    ['a newer minor: 12.10 is above 12.4', wants({ cuda_version_min: '12.10' }), false],
    ['a newer major', wants({ cuda_version_min: '13' }), false],
    ['its region', wants({ region: 'eu-west' }), true],
    ['another region', wants({ region: 'us' }), false],
    ['this miner', wants({ miner_id: ME }), true],
    ['this miner in its region', wants({ miner_id: ME, region: 'eu-west' }), true],
    ['this miner in another region', wants({ miner_id: ME, region: 'us' }), false],
    ['another miner', wants({ miner_id: OTHER }), false],
    ['its price', wants({ price_minor: 150_000_000 }), true],
    ['a hair less than its price', wants({ price_minor: 149_999_999 }), false],
    ['nothing paid', wants({ price_minor: 0 }), false],
  ])('%s', (_, requirement, expected) => {
    expect(satisfies(abilityOf(offer(), ME), requirement)).toBe(expected);
  });

  test('a miner without CUDA or region meets no demand for one; without a model list, any', () => {
    const bare = abilityOf(offer({ cuda_version: null, region: null, models: [] }), ME);
    expect(satisfies(bare, wants({ cuda_version_min: '11' }))).toBe(false);
    expect(satisfies(bare, wants({ region: 'eu' }))).toBe(false);
    expect(satisfies(bare, wants({ model: 'mistral' }))).toBe(true);
  });

  test('what pays nothing is for miners that ask nothing', () => {
    expect(satisfies(abilityOf(offer({ price_per_job_minor: 0 }), ME), wants({ price_minor: 0 }))).toBe(true);
    expect(satisfies(abilityOf(offer({ price_per_job_minor: 1 }), ME), wants({ price_minor: 0 }))).toBe(
      false,
    );
    expect(canRun(abilityOf(offer(), ME), wants({ price_minor: 0 }))).toBe(true);
  });
});

describe('names', () => {
  test.each([
    ['llama3.2', 'llama3.2:latest'],
    ['LLaMA3.2', 'llama3.2:latest'],
    ['llama3.2:LATEST', 'Llama3.2'],
    ['hf.co/Org/Model:Q4_K_M', 'hf.co/org/model:q4_k_m'],
  ])('of models: %s is %s', (one, other) => {
    expect(modelKey(one)).toBe(modelKey(other));
  });
  test('of models: another tag is another model', () => {
    expect(modelKey('llama3.2:1b')).not.toBe(modelKey('llama3.2'));
    expect(modelKey(':latest')).not.toBe('');
  });

  const isCalled = (card: string, wanted: string): boolean =>
    canRun(
      abilityOf(offer({ gpus: [{ model: card, vram_gb: 16 }] }), ME),
      requirementOf({
        job_type: 'llm_inference',
        model: null,
        constraints: { gpu_model: wanted },
        pays_minor: 0,
      }),
    );
  test.each([
    ['NVIDIA GeForce RTX 4080', 'RTX 4080', true],
    ['NVIDIA GeForce RTX 4080', 'rtx4080', true],
    ['NVIDIA GeForce RTX 4080 SUPER', 'RTX 4080', false],
    ['NVIDIA GeForce RTX 4080 SUPER', 'RTX 4080 Super', true],
    ['NVIDIA GeForce RTX 4080', 'RTX 4080 SUPER', false],
    ['NVIDIA GeForce RTX 3080 Ti', '3080', false],
    ['NVIDIA GeForce RTX 3080 Ti Laptop GPU', 'RTX 3080 Ti', false],
    ['NVIDIA GeForce RTX 3080 Ti Laptop GPU', 'RTX 3080 Ti Laptop', true],
    ['NVIDIA GeForce RTX 2080 with Max-Q Design', 'RTX 2080', false],
    ['AMD Radeon RX 7900 XTX', 'RX 7900 XT', false],
    ['AMD Radeon RX 7900 XTX', 'RX 7900', false],
    ['NVIDIA GeForce RTX 4090 D', 'RTX 4090', false],
    ['NVIDIA GeForce RTX 4090D', 'RTX 4090', false],
    ['NVIDIA L40S', 'L40', false],
    ['NVIDIA A10G', 'A10', false],
    ['NVIDIA RTX 6000 Ada Generation', 'RTX 6000', false],
    ['NVIDIA A100-SXM4-80GB', 'A100', true],
    ['NVIDIA A100-SXM4-80GB', 'A100 SXM', true],
    ['NVIDIA A100-SXM4-80GB', 'A100 PCIe', false],
    ['NVIDIA A100-SXM4-80GB', 'A100 80GB', true],
    ['NVIDIA A100 80GB PCIe', 'A100 PCIe', false],
    ['NVIDIA A100 80GB PCIe', 'A100 80GB PCIe', true],
    ['NVIDIA GeForce RTX 4080 SUPER', 'GeForce RTX', true],
    ['NVIDIA RTX A6000 x2', 'RTX A6000', true],
    ['NVIDIA RTX A6000', '???', false],
  ])('of cards: %s asked for as %s: %s', (card, wanted, expected) => {
    expect(isCalled(card, wanted)).toBe(expected);
  });
  test('of cards: a name has at most 156 of them, however long', () => {
    expect(cardPhrases('A1 '.repeat(30)).size).toBeLessThanOrEqual(156);
    expect(cardPhrases(Array.from({ length: 40 }, (_, at) => `w${at}`).join(' ')).size).toBeLessThanOrEqual(
      156,
    );
  });
});

describe('requirementOf', () => {
  const job = (changes: object = {}, constraints: object = {}) =>
    requirementOf({
      job_type: 'llm_inference',
      model: 'llama3.2:1b',
      constraints,
      pays_minor: 0,
      ...changes,
    });

  test('the reserve that a job meets is what is held, or less where max_price says so; exactly', () => {
    expect(job().price_minor).toBe(0);
    expect(job({}, { max_price: 10 }).price_minor).toBe(0);
    expect(job({ pays_minor: 12_345_678 }).price_minor).toBe(12_345_678);
    expect(job({ pays_minor: 12_345_678 }, { max_price: 1.29 }).price_minor).toBe(12_345_678);
    expect(job({ pays_minor: 200_000_000 }, { max_price: 1.29 }).price_minor).toBe(129_000_000);
    expect(job({ pays_minor: 7 }, { max_price: 0 }).price_minor).toBe(0);
  });

  test('spellings of the same wish have one name; the price is no part of it', () => {
    const one = job(
      { model: 'Llama3.2:latest' },
      { gpu_model: 'RTX-4090', region: ' EU-West', min_vram_gb: 15.2 },
    );
    const two = job(
      { model: 'llama3.2', pays_minor: 5 },
      { gpu_model: 'rtx 4090', region: 'eu-west', min_vram_gb: 15.2 },
    );
    expect(requirementName(one)).toBe(requirementName(two));
    expect(requirementName(job({}, { min_vram_gb: 15 }))).not.toBe(
      requirementName(job({}, { min_vram_gb: 16 })),
    );
  });
});

describe('a place in the index', () => {
  test('holds no separator and stays short, whatever a client writes', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), fc.string({ maxLength: 100 }), (model, text) => {
        const parts = placeOf(wants({ model, gpu_model: text, region: text }), 5).queue.split('|');
        expect(parts).toHaveLength(6);
        for (const part of parts) expect(part).toMatch(/^[^|,=*]{0,48}$/);
      }),
    );
  });

  test('of a kind has one name, in whatever order things are listed', () => {
    const models = ['a', 'b'];
    expect(kindName(offer({ models }))).toBe(kindName(offer({ models: [...models].reverse() })));
    expect(kindName(offer({ models }))).not.toBe(kindName(offer({ models: ['a'] })));
    expect(kindName(offer({ models, miner_id: ME }))).not.toBe(kindName(offer({ models })));
  });
});

describe('rankOf', () => {
  test('quality first, in steps, then load; no price in it', () => {
    expect(rankOf(1, 1)).toBeLessThan(rankOf(0.67, 0));
    expect(rankOf(0.99, 0)).toBe(rankOf(1, 0));
    expect(rankOf(1, 0)).toBeLessThan(rankOf(1, 0.5));
  });
});
