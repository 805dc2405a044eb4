import { createHash } from 'node:crypto';
import {
  type Constraints,
  cardKey,
  cardPhrases,
  isJobType,
  type JobType,
  modelKey,
  type Payload,
  toMinor,
} from '@aitbc/contracts';

/** What a miner must be to run a job: normal forms of the names, and the numbers as they were asked for. */
export type Requirement = Payload<'jobs.queued'>['requirement'];
/** What a miner can do, as it says it. */
export type Capability = NonNullable<Payload<'jobs.capacity_opened'>['capability']>;

const normalRegion = (region: string): string => region.trim().toLowerCase() || region;

/**
 * The highest reserve price of a miner that a job meets: what is held for it, or less where the client says so. What
 * pays nothing is for miners that ask nothing, whatever its `max_price` says.
 */
const priceOf = (paysMinor: number, maxPrice: number | undefined): number =>
  maxPrice === undefined ? paysMinor : Math.min(paysMinor, toMinor(maxPrice));

/** @param job `model` as its parameters name it, if they do. `pays_minor` is 0 without a payment. */
export const requirementOf = (job: {
  readonly job_type: JobType;
  readonly model: string | null;
  readonly constraints: Constraints;
  readonly pays_minor: number;
}): Requirement => {
  const { gpu_model, min_vram_gb, cuda_version_min, region, max_price, miner_id } = job.constraints;
  return {
    job_type: job.job_type,
    model: job.model === null ? null : modelKey(job.model),
    gpu_model: gpu_model === undefined ? null : cardKey(gpu_model),
    min_vram_gb: min_vram_gb ?? null,
    cuda_version_min: cuda_version_min ?? null,
    region: region === undefined ? null : normalRegion(region),
    ...(miner_id === undefined ? {} : { miner_id }),
    price_minor: priceOf(job.pays_minor, max_price),
  };
};

/**
 * Names what is asked of a miner beside the price: equal demands give the same name. The price stands apart, because it
 * changes when a payment comes later.
 */
export const requirementName = (value: Requirement): string => {
  const { job_type, model, gpu_model, min_vram_gb, cuda_version_min, region, miner_id } = value;
  const named = miner_id === undefined ? [] : [miner_id];
  const text = JSON.stringify([job_type, model, gpu_model, min_vram_gb, cuda_version_min, region, ...named]);
  return createHash('sha256').update(text).digest('base64url').slice(0, 22);
};

/** A version as one number, exact: both parts have three digits at most. */
const cudaNumber = (version: string): number => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major * 1_000 + minor;
};

/** Cards of a miner that count: whoever has more different ones in one machine registers it twice. */
const CARDS_MAX = 16;

/** A miner's offer made ready for comparing: each question is one look-up. */
export interface Ability {
  readonly types: ReadonlySet<string>;
  /** Null: takes any model. */
  readonly models: ReadonlySet<string> | null;
  /** What its cards may be called -> memory of the largest of that name; '' is any card, or none at all. */
  readonly memoryByCard: ReadonlyMap<string, number>;
  /** -1 without any. */
  readonly cuda: number;
  readonly region: string | null;
  readonly minerId: string;
  readonly priceMinor: number;
}

export const abilityOf = (offer: Capability, minerId: string): Ability => {
  const memoryByCard = new Map<string, number>([['', 0]]);
  const names = new Set<string>();
  for (const { model, vram_gb } of offer.gpus) {
    names.add(model);
    if (names.size > CARDS_MAX) break;
    for (const phrase of cardPhrases(model).add(''))
      memoryByCard.set(phrase, Math.max(memoryByCard.get(phrase) ?? 0, vram_gb));
  }
  return {
    types: new Set(offer.capabilities),
    models: offer.models.length === 0 ? null : new Set(offer.models.map(modelKey)),
    memoryByCard,
    cuda: offer.cuda_version === null ? -1 : cudaNumber(offer.cuda_version),
    region: offer.region === null ? null : normalRegion(offer.region),
    minerId,
    priceMinor: offer.price_per_job_minor,
  };
};

/** Whether a miner could run a job if the price were right. */
export const canRun = (ability: Ability, requirement: Requirement): boolean => {
  const { job_type, model, gpu_model, min_vram_gb, cuda_version_min, region, miner_id } = requirement;
  const memory = ability.memoryByCard.get(gpu_model ?? '');
  return (
    ability.types.has(job_type) &&
    (model === null || ability.models === null || ability.models.has(model)) &&
    memory !== undefined &&
    memory >= (min_vram_gb ?? 0) &&
    (cuda_version_min === null || ability.cuda >= cudaNumber(cuda_version_min)) &&
    (region === null || ability.region === region) &&
    (miner_id === undefined || ability.minerId === miner_id)
  );
};

/** Whether a miner may run a job: it can, and the job meets its reserve price. */
export const satisfies = (ability: Ability, requirement: Requirement): boolean =>
  requirement.price_minor >= ability.priceMinor && canRun(ability, requirement);

/** Tenths: a miner that failed one job in a thousand is as good as one that failed none. */
const QUALITY_STEPS = 10;

/**
 * Which miner is offered work first: the lower the better. Quality comes first, in steps; then who has less to do; then,
 * where that is equal, who has waited longest. The asked price is no part of it: it decided who may have the job.
 * @param load share of the miner's slots in use
 */
export const rankOf = (reputation: number, load: number): number =>
  Math.round((1 - reputation) * QUALITY_STEPS) + load;

// From here on: where a requirement stands in the index.

/** Keys join their parts with `|`, so no part holds one; what is long or unusual stands as its hash. */
const token = (text: string): string =>
  /^[\w .:/@+-]{0,48}$/.test(text)
    ? text
    : `#${createHash('sha256').update(text).digest('base64url').slice(0, 22)}`;

/** Upper bounds of classes of memory, GB; 0 is none asked. The sizes that cards have. */
export const MEMORY_CLASSES = [
  0, 4, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 141, 192, 288, 10_000,
];
/** Upper bounds of classes of CUDA versions; -1 is none asked. */
export const CUDA_CLASSES = [-1, 10_999, 11_999, 12_999, 13_999, 14_999, 999_999];
/** The class of the first bound that is not below the value. */
const classOf = (bounds: readonly number[], value: number): number =>
  bounds.findIndex((bound) => value <= bound);
/** 0 for nothing, else the number of decimal digits: class n holds 10^(n-1) up to below 10^n. */
const priceClass = (minor: number): number => (minor === 0 ? 0 : String(minor).length);

/** A region, maybe with `=` and a miner behind it: who is named stands in that region, or the job does not fit. */
const whereOf = (region: string | null, minerId: string | undefined): string =>
  token(region ?? '') + (minerId === undefined ? '' : `=${minerId}`);

/** The model key of jobs with a model, for miners that take any. */
const ANY_MODEL = '*';

/** A requirement in the terms of the index, as text for the script. */
export interface Place {
  /**
   * The name of its queue: `tier|type|model|card|where|cell`. Tier 1 is paid, 0 is not; what is not asked for is ''; the
   * cell is the classes of what it pays, of its price, memory and CUDA version.
   */
  readonly queue: string;
  readonly price: number;
  readonly memory: number;
  readonly cuda: number;
  /** The longest number in the card's name, '' without any: few cards share it. */
  readonly cardNumber: string;
}

const cardNumbers = (card: string): string[] => card.split(' ').filter((word) => /^\d/.test(word));
const longest = (words: readonly string[]): string =>
  words.reduce((best, word) => (word.length > best.length ? word : best), '');

export const placeOf = (requirement: Requirement, paysMinor: number): Place => {
  const card = requirement.gpu_model ?? '';
  const memory = requirement.min_vram_gb ?? 0;
  const cuda = requirement.cuda_version_min === null ? -1 : cudaNumber(requirement.cuda_version_min);
  const price = requirement.price_minor;
  const classes = [
    priceClass(paysMinor),
    priceClass(price),
    classOf(MEMORY_CLASSES, memory),
    classOf(CUDA_CLASSES, cuda),
  ];
  const queue = [
    paysMinor > 0 ? 1 : 0,
    requirement.job_type,
    requirement.model === null ? '' : token(requirement.model),
    token(card),
    whereOf(requirement.region, requirement.miner_id),
    classes.join('.'),
  ].join('|');
  return {
    queue,
    price,
    memory,
    cuda,
    cardNumber: token(longest(cardNumbers(card))),
  };
};

/** A kind of miner in the terms of the index. */
export interface KindRecord {
  readonly types: readonly string[];
  /** With '' for jobs that name none, and `*` when it takes any. */
  readonly models: readonly string[];
  /** `card|where`, each of them maybe ''. */
  readonly places: readonly string[];
  readonly cardNumbers: readonly string[];
  readonly memoryByCard: readonly (readonly [string, number])[];
  /** Where a job may ask it to be. */
  readonly wheres: readonly string[];
  readonly price: number;
  readonly cuda: number;
}

export const kindRecordOf = (capability: Capability): KindRecord => {
  const { miner_id } = capability;
  const ability = abilityOf(capability, miner_id ?? '');
  const cards = [...ability.memoryByCard.keys()];
  const names = miner_id === undefined ? [undefined] : [undefined, miner_id];
  const places = [...new Set([null, ability.region])].flatMap((region) =>
    names.map((name) => whereOf(region, name)),
  );
  return {
    types: [...ability.types].filter(isJobType),
    models: ['', ...(ability.models === null ? [ANY_MODEL] : [...ability.models].map(token))],
    places: cards.flatMap((card) => places.map((where) => `${token(card)}|${where}`)),
    cardNumbers: [...new Set(cards.flatMap(cardNumbers))].map(token),
    memoryByCard: [...ability.memoryByCard].map(([card, memory]) => [token(card), memory] as const),
    wheres: places.filter((where) => where !== ''),
    price: ability.priceMinor,
    cuda: ability.cuda,
  };
};

/** Equal capabilities have the same name, in whatever order they are listed. */
export const kindName = (capability: Capability): string => {
  const { types, models, memoryByCard, ...rest } = kindRecordOf(capability);
  const text = JSON.stringify([
    [...types].sort(),
    [...models].sort(),
    [...memoryByCard].sort(),
    rest.wheres.join(),
    rest.price,
    rest.cuda,
  ]);
  return createHash('sha256').update(text).digest('base64url').slice(0, 22);
};
