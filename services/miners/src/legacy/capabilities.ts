import { isRecord } from '@aitbc/contracts';

type Fields = Record<string, unknown>;
type Gpu = { model: string; vram_gb: number; count: number };

/** Above so many gigabytes a card's memory is in megabytes: no card has a terabyte. */
const GIGABYTES_MAX = 1_024;
/** As a registration takes it: more was counted in another unit. */
const MEMORY_MAX = 10_000;
const CARDS_MAX = 64;
const MODELS_MAX = 500;
const MODEL_LENGTH_MAX = 200;
const CARD_LENGTH_MAX = 100;
const UNKNOWN = new Set(['', 'unknown', 'none', 'n/a', 'cpu', 'no gpu']);

const textOf = (value: unknown): string => (typeof value === 'string' ? value.trim() : '');
const numberOf = (value: unknown): number => {
  const number = typeof value === 'string' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : 0;
};

/** In the gigabytes of its name: cards report a little less than that. */
const memoryOf = (card: Fields): number => {
  const given = numberOf(card.memory_gb ?? card.vram_gb) || numberOf(card.memory_mb) / GIGABYTES_MAX;
  const gigabytes = given > GIGABYTES_MAX ? given / GIGABYTES_MAX : given;
  return gigabytes <= 0 || gigabytes > MEMORY_MAX ? 0 : Math.max(1, Math.round(gigabytes));
};

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

const cardsOf = (capabilities: Fields): Fields[] =>
  [capabilities.gpu, ...listOf(capabilities.gpus)].filter(isRecord);

/** Equal cards become one entry with a count; one without a name or memory is none. */
const gpusOf = (cards: readonly Fields[]): Gpu[] => {
  const kinds = new Map<string, Gpu>();
  for (const card of cards) {
    const model = textOf(card.model ?? card.name)
      .slice(0, CARD_LENGTH_MAX)
      .trim();
    const vram_gb = memoryOf(card);
    if (UNKNOWN.has(model.toLowerCase()) || vram_gb === 0) continue;
    const key = `${model}|${vram_gb}`;
    const known = kinds.get(key);
    kinds.set(key, { model, vram_gb, count: Math.min(CARDS_MAX, (known?.count ?? 0) + 1) });
  }
  return [...kinds.values()].slice(0, CARDS_MAX);
};

/** What looks like 12.4; the version of a driver, or `unknown`, says nothing. */
const cudaOf = (capabilities: Fields, cards: readonly Fields[]): string | undefined =>
  [capabilities.cuda_version, capabilities.cuda, ...cards.map(({ cuda_version }) => cuda_version)]
    .map(textOf)
    .find((version) => /^\d{1,2}\.\d{1,2}$/.test(version));

const modelsOf = (capabilities: Fields): string[] => {
  const ollama = isRecord(capabilities.ollama) ? capabilities.ollama : {};
  const names = [...listOf(capabilities.models), ...listOf(ollama.models)]
    .map((model) => textOf(isRecord(model) ? (model.name ?? model.model) : model))
    .filter((name) => name !== '' && name.length <= MODEL_LENGTH_MAX);
  return [...new Set(names)].slice(0, MODELS_MAX);
};

/** With the eight decimals that an amount has. */
const priceOf = (capabilities: Fields): number | undefined => {
  const price = numberOf(capabilities.price ?? capabilities.price_per_job);
  return price === 0 ? undefined : Number(price.toFixed(8));
};

/** What a free description of a machine says in our words; what is not understood is left out. */
export const offerOf = (capabilities: Fields) => {
  const cards = cardsOf(capabilities);
  return {
    // What its jobs can be: see what a poll hands out.
    capabilities: ['llm_inference', 'custom'],
    gpus: gpusOf(cards),
    cuda_version: cudaOf(capabilities, cards),
    models: modelsOf(capabilities),
    price_per_job: priceOf(capabilities),
  };
};
