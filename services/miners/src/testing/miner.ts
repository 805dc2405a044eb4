import { newId } from '@aitbc/contracts';
import type { insertMiner } from '../store/index.ts';

type Row = Parameters<typeof insertMiner>[1];

/** A row of an active miner that nothing was said of yet. */
export const aMiner = (changes: Partial<Row> = {}): Row => ({
  id: newId(),
  account_id: newId(),
  name: 'default',
  address: 'a',
  endpoint: null,
  capabilities: '[]',
  gpus: '[]',
  cuda_version: null,
  models: '[]',
  region: null,
  price_per_job_minor: 0,
  concurrency: 1,
  status: 'active',
  revision: 1,
  seen_at_ms: 1,
  jobs_completed: 0,
  jobs_failed: 0,
  jobs_lost: 0,
  earned_minor: 0,
  created_at_ms: 1,
  alias_key_id: null,
  alias_at_ms: null,
  instance_id: null,
  status_note: null,
  weight: 1,
  ...changes,
});
