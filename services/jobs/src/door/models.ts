import { fromMinor, modelKey, type OfferedModel, Problem } from '@aitbc/contracts';
import type { MinerOffer } from '../tables.ts';
import type { Work } from '../work.ts';

type Kind = OfferedModel['aitbc']['kinds'][number];

/** A Map: a miner may name a type of its own `constructor`, which every object has. */
const KINDS: ReadonlyMap<string, Kind> = new Map([
  ['chat_completion', 'chat'],
  ['llm_inference', 'chat'],
  ['text_completion', 'completion'],
  ['embedding', 'embedding'],
]);
/** Miners list their models for all that they do: the name tells which only embed. */
const ONLY_EMBEDS = /embed|\bbge\b|\bgte\b|\be5\b|minilm|sentence-transformers/i;

const KEPT_MS = 1_000;
/** ...and so many times what the look took: ten thousand miners cost a twentieth of a core. */
const REST = 20;
/** Shown; those with the most miners. */
const MODELS_MAX = 5_000;
const NEAR = 3;
/** Compared with a name that nobody offers: a look of a few ms. */
const COMPARED_MAX = 2_000;

interface Offered {
  /** As the first miner writes it, without `:latest`. */
  readonly id: string;
  readonly kinds: Set<Kind>;
  freeSlots: number;
  readonly prices: number[];
}

const pairsOf = (text: string): Set<string> => {
  const pairs = new Set<string>();
  for (let at = 0; at < text.length - 1; at++) pairs.add(text.slice(at, at + 2));
  return pairs;
};
/** Of 0 to 1: the share of pairs of letters that two names have in common. */
const likeness = (a: Set<string>, b: Set<string>): number => {
  let common = 0;
  for (const pair of a) if (b.has(pair)) common += 1;
  return (2 * common) / Math.max(1, a.size + b.size);
};

const kindsOf = (offer: MinerOffer, model: string): Kind[] => {
  const all = offer.capabilities.flatMap((type) => KINDS.get(type) ?? []);
  const fitting = all.filter((kind) => (kind === 'embedding') === ONLY_EMBEDS.test(model));
  return fitting.length > 0 ? fitting : all;
};

/** What active miners offer by name, from the copy of them that is here. */
export const createModels = (work: Work) => {
  const startedAtSeconds = Math.floor(Date.now() / 1_000);
  let known = new Map<string, Offered>();
  let freshUntil = Number.NEGATIVE_INFINITY;

  const look = (): ReadonlyMap<string, Offered> => {
    const beganAt = performance.now();
    if (beganAt < freshUntil) return known;
    const found = new Map<string, Offered>();
    for (const offer of work.fleet.all()) {
      if (offer.status !== 'active') continue;
      const freeSlots = Math.max(0, offer.concurrency - work.load.of(offer.miner_id));
      const own = new Map(offer.models.map((model) => [modelKey(model), model]));
      for (const [key, model] of own) {
        const kinds = kindsOf(offer, model);
        if (kinds.length === 0) continue;
        const entry = found.get(key) ?? {
          id: model.replace(/(?<=.):latest$/i, ''),
          kinds: new Set(),
          freeSlots: 0,
          prices: [],
        };
        found.set(key, entry);
        for (const kind of kinds) entry.kinds.add(kind);
        entry.freeSlots += freeSlots;
        entry.prices.push(offer.price_per_job_minor);
      }
    }
    known = found;
    const now = performance.now();
    freshUntil = now + Math.max(KEPT_MS, (now - beganAt) * REST);
    return known;
  };

  const view = ({ id, kinds, freeSlots, prices }: Offered): OfferedModel => {
    const sorted = prices.toSorted((a, b) => a - b);
    const waitMs = work.waits.usual(id);
    return {
      id,
      object: 'model',
      created: startedAtSeconds,
      owned_by: 'aitbc',
      aitbc: {
        kinds: [...kinds].sort(),
        miners: sorted.length,
        free_slots: freeSlots,
        price_min: fromMinor(sorted[0] ?? 0),
        price_median: fromMinor(sorted[sorted.length >> 1] ?? 0),
        usual_wait_seconds: waitMs === null ? null : waitMs / 1_000,
      },
    };
  };

  const near = (name: string): string[] => {
    const asked = pairsOf(modelKey(name));
    return [...look().values()]
      .slice(0, COMPARED_MAX)
      .map(({ id }) => ({ id, like: likeness(asked, pairsOf(modelKey(id))) }))
      .sort((a, b) => b.like - a.like)
      .slice(0, NEAR)
      .map(({ id }) => id);
  };

  return {
    list: (): OfferedModel[] =>
      [...look().values()]
        .sort((a, b) => b.prices.length - a.prices.length || (a.id < b.id ? -1 : 1))
        .slice(0, MODELS_MAX)
        .map(view),
    /** @throws Problem MODEL_NOT_FOUND, with names that are near */
    get: (name: string): OfferedModel => {
      const found = look().get(modelKey(name));
      if (found === undefined) throw notOffered(name, near(name));
      return view(found);
    },
  };
};
export type Models = ReturnType<typeof createModels>;

const notOffered = (name: string, near: readonly string[]): Problem =>
  new Problem(
    'MODEL_NOT_FOUND',
    near.length === 0
      ? `The model '${name}' is not offered: no active miner offers one now.`
      : `The model '${name}' is not offered by any active miner now. Near it: ${near.join(', ')}.`,
    { details: { param: 'model' } },
  );
