import type { AttemptState, Outcome, Status } from './domain.ts';

export interface MinerTable {
  id: string;
  account_id: string;
  name: string;
  address: string;
  endpoint: string | null;
  /** JSON array of strings. */
  capabilities: string;
  /** JSON array of `{model, vram_gb, count}`. */
  gpus: string;
  cuda_version: string | null;
  /** JSON array of strings. */
  models: string;
  region: string | null;
  price_per_job_minor: number;
  concurrency: number;
  status: Status;
  /** Rises with each `miners.changed`. */
  revision: number;
  /** As of the last flush: the present value is in the roster. */
  seen_at_ms: number;
  jobs_completed: number;
  jobs_failed: number;
  jobs_lost: number;
  /** Faded sums of what went well and badly: see `reputation` in domain. */
  good: number;
  bad: number;
  /** The reputation that the last `miners.changed` told. */
  announced_reputation: number;
  earned_minor: number;
  created_at_ms: number;
  /** The process of the agent that registered last; null for agents that name none. */
  instance_id: string | null;
  /** What the agent says is not offered, and why. */
  status_note: string | null;
}

export interface Tables {
  miner: MinerTable;
  /** What is known of who held which job. Kept while it runs, and a while longer: messages come in any order. */
  attempt: {
    job_id: string;
    attempt: number;
    miner_id: string;
    state: AttemptState;
    outcome: Outcome | null;
    forget_at_ms: number;
  };
  /** One row a payment, so that none counts twice. */
  earning: { payment_id: string; miner_id: string; earned_minor: number; forget_at_ms: number };
}
