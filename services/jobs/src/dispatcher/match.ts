import type { Constraints, JobType } from '@aitbc/contracts';
import { fromMinor, toMinor } from '@aitbc/contracts';

/**
 * What a miner must be to run a job. Jobs with equal requirements wait in one lane, so everything in here is
 * rounded or normalised to keep lanes few, always towards the stricter side.
 */
export interface Requirement {
  readonly job_type: JobType;
  readonly model: string | null;
  readonly gpu_model: string | null;
  readonly min_vram_gb: number | null;
  readonly cuda_version_min: string | null;
  readonly region: string | null;
  readonly price_cap_minor: number | null;
}

/** The part of a miner that matching looks at. */
export interface Offer {
  readonly capabilities: readonly string[];
  readonly gpus: readonly { readonly model: string; readonly vram_gb: number }[];
  readonly cuda_version: string | null;
  readonly models: readonly string[];
  readonly region: string | null;
  readonly price_per_job_minor: number;
  readonly reputation: number;
}

/** Types whose parameters name a model that a miner either has or has not. */
const MODEL_TYPES: ReadonlySet<JobType> = new Set(['llm_inference', 'embedding', 'image_generation']);

/** `NVIDIA GeForce RTX 4090` and `rtx-4090` are written by different people for the same card. */
const words = (name: string): string[] => name.toLowerCase().match(/[a-z]+|\d+/g) ?? [];

/** Down to two significant digits: prices a client may pay form some 90 lanes a decade, not thousands. */
const roundDown = (minor: number): number => {
  if (minor < 100) return minor;
  const step = 10 ** (String(minor).length - 2);
  return Math.floor(minor / step) * step;
};

export const requirementOf = (job: {
  readonly job_type: JobType;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly constraints: Constraints;
  readonly payment_amount_minor: number | null;
}): Requirement => {
  const { constraints } = job;
  const caps = [
    constraints.max_price === undefined ? null : toMinor(constraints.max_price),
    job.payment_amount_minor,
  ].filter((cap) => cap !== null);
  const { model } = job.parameters;
  return {
    job_type: job.job_type,
    model: MODEL_TYPES.has(job.job_type) && typeof model === 'string' ? model : null,
    gpu_model: constraints.gpu_model === undefined ? null : words(constraints.gpu_model).join(' '),
    min_vram_gb: constraints.min_vram_gb === undefined ? null : Math.ceil(constraints.min_vram_gb),
    cuda_version_min: constraints.cuda_version_min ?? null,
    region: constraints.region?.trim().toLowerCase() ?? null,
    price_cap_minor: caps.length === 0 ? null : roundDown(Math.min(...caps)),
  };
};

/** A lane's name in words: equal requirements give the same text. */
export const requirementText = (value: Requirement): string =>
  JSON.stringify([
    value.job_type,
    value.model,
    value.gpu_model,
    value.min_vram_gb,
    value.cuda_version_min,
    value.region,
    value.price_cap_minor,
  ]);

const versionAtLeast = (version: string, min: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [minMajor = 0, minMinor = 0] = min.split('.').map(Number);
  return major > minMajor || (major === minMajor && minor >= minMinor);
};

/** The wanted words stand in the card's name, side by side: `rtx 4090` is not met by `RTX 5000 (4090 MHz)`. */
const isGpu = (model: string, wanted: string): boolean =>
  ` ${words(model).join(' ')} `.includes(` ${wanted} `);

const hasGpu = (offer: Offer, { gpu_model, min_vram_gb }: Requirement): boolean =>
  (gpu_model === null && min_vram_gb === null) ||
  offer.gpus.some(
    (gpu) =>
      (gpu_model === null || isGpu(gpu.model, gpu_model)) &&
      (min_vram_gb === null || gpu.vram_gb >= min_vram_gb),
  );

/** Whether this miner may run jobs of this requirement. One that lists no model takes any. */
export const satisfies = (offer: Offer, requirement: Requirement): boolean =>
  offer.capabilities.includes(requirement.job_type) &&
  (requirement.price_cap_minor === null || offer.price_per_job_minor <= requirement.price_cap_minor) &&
  (requirement.model === null || offer.models.length === 0 || offer.models.includes(requirement.model)) &&
  (requirement.region === null || offer.region?.trim().toLowerCase() === requirement.region) &&
  (requirement.cuda_version_min === null ||
    (offer.cuda_version !== null && versionAtLeast(offer.cuda_version, requirement.cuda_version_min))) &&
  hasGpu(offer, requirement);

/** Added to every price, so that reputation decides among miners that work for nothing. */
const HANDLING = 0.01;
/** Even a miner that never succeeded is offered work when nobody else is there. */
const REPUTATION_MIN = 0.05;
/** What a full miner is worse than an empty one: decides among equals, outweighs no price worth naming. */
const FULL_LOAD = 0.001;

/**
 * Who is offered work first: the lower the better. It is the expected price of one success, price / reputation, with
 * the load as the last word.
 */
export const rankOf = (offer: Offer, load: number): number =>
  (fromMinor(offer.price_per_job_minor) + HANDLING) / Math.max(offer.reputation, REPUTATION_MIN) +
  load * FULL_LOAD;
