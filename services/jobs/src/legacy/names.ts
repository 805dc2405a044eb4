import {
  isJobType,
  type JobStatus,
  type JobType,
  type LegacyState,
  type LegacyStatus,
} from '@aitbc/contracts';
import type { z } from 'zod';

// What the original's programs call our states and types, one table each; both ways are read off it.

export const STATES: Readonly<
  Record<
    JobStatus,
    { readonly state: z.output<typeof LegacyState>; readonly status: z.output<typeof LegacyStatus> }
  >
> = {
  pending: { state: 'QUEUED', status: 'queued' },
  running: { state: 'RUNNING', status: 'running' },
  completed: { state: 'COMPLETED', status: 'completed' },
  failed: { state: 'FAILED', status: 'failed' },
  cancelled: { state: 'CANCELED', status: 'canceled' },
  expired: { state: 'EXPIRED', status: 'expired' },
};

const BY_NAME = new Map(
  (Object.entries(STATES) as [JobStatus, (typeof STATES)[JobStatus]][]).flatMap(([status, names]) =>
    [status, names.state, names.status].map((name): [string, JobStatus] => [name.toLowerCase(), status]),
  ),
);
/** In any spelling and case; undefined for what is no state. */
export const statusNamed = (name: string): JobStatus | undefined => BY_NAME.get(name.toLowerCase());

const WRITTEN: JobType = 'llm_inference';
/** What a payload calls its type; every other one is custom. */
export const TYPES: ReadonlyMap<string, JobType> = new Map([
  ['inference', WRITTEN],
  ['generate', WRITTEN],
  ['chat', WRITTEN],
]);

/** What a filter asks for: a payload's word for its type, or what our views call it. */
export const typeNamed = (name: string): JobType => {
  const type = name.toLowerCase();
  return TYPES.get(type) ?? (isJobType(type) ? type : 'custom');
};

/** The original's word for each of our constraints. */
export const CONSTRAINTS = {
  gpu: 'gpu_model',
  cuda: 'cuda_version_min',
  min_vram_gb: 'min_vram_gb',
  region: 'region',
  max_price: 'max_price',
} as const;
