import { describe, expect, test } from 'vitest';
import { offerOf } from './capabilities.ts';

describe('a free description of a machine', () => {
  test.each([
    ['nothing', {}, { gpus: [], models: [] }],
    [
      'memory in megabytes where gigabytes are said',
      { gpu: { model: 'RTX 4060 Ti', memory_gb: 16_376 } },
      { gpus: [{ model: 'RTX 4060 Ti', vram_gb: 16, count: 1 }] },
    ],
    [
      'equal cards',
      {
        gpus: [
          { name: 'A100', memory_mb: 81_920 },
          { name: 'A100', memory_mb: 81_920 },
        ],
      },
      { gpus: [{ model: 'A100', vram_gb: 80, count: 2 }] },
    ],
    ['memory in a unit that nobody knows', { gpu: { model: 'a', memory_gb: 17e9 } }, { gpus: [] }],
    ['an unknown card', { gpu: { model: 'Unknown', memory_gb: 8 } }, { gpus: [] }],
    ['a card without memory', { gpu: { model: 'RTX 4090', memory_gb: 0 } }, { gpus: [] }],
    ['a card of null', { gpu: null, gpus: [null, 'x'] }, { gpus: [] }],
    ['a version', { gpu: { model: 'a', memory_gb: 1, cuda_version: '12.4' } }, { cuda_version: '12.4' }],
    ['the version of a driver', { cuda_version: '535.104.05' }, { cuda_version: undefined }],
    ['an unknown version', { cuda_version: 'unknown' }, { cuda_version: undefined }],
    [
      'models in both places',
      { models: ['a', 'b'], ollama: { models: ['b', { name: 'c' }] } },
      { models: ['a', 'b', 'c'] },
    ],
    ['a price', { price: '0.001' }, { price_per_job: 0.001 }],
    ['a price of more decimals', { price: 0.123456789 }, { price_per_job: 0.12345679 }],
    ['a price that is none', { price: 'cheap' }, { price_per_job: undefined }],
  ])('%s', (_what, capabilities, offer) => {
    expect(offerOf(capabilities)).toMatchObject({ capabilities: ['llm_inference', 'custom'], ...offer });
  });
});
