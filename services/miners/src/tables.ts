import type { Generated } from 'kysely';
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
  earned_minor: number;
  created_at_ms: number;
  /** The process of the agent that registered last; null for agents that name none. */
  instance_id: string | null;
  /** What the agent says is not offered, and why. */
  status_note: string | null;
  /** The key that registered it last through the routes of the original coordinator. */
  alias_key_id: string | null;
  /** When; null for one that registered in any other way since, and for one that was taken off. */
  alias_at_ms: number | null;
  /** What its attributes take, in bytes: see `weightOf` in domain. */
  weight: number;
}

/** Words for and against, as they stood at `at_ms`: see `faded` in domain. */
interface WordsTable {
  account_id: string;
  good: number;
  bad: number;
  at_ms: number;
}

export interface Tables {
  miner: MinerTable & {
    /** Until when the process of `instance_id` is taken for living, as of the last flush. Where one process is, it knows. */
    lives_until_ms: Generated<number>;
  };
  reputation: WordsTable & {
    /** What the last `miners.changed` told. */
    announced: number;
    /** The last miner that was told, while not all have been. */
    telling_after: string | null;
  };
  /** One row for each client that said something; `''` is all strangers together. */
  counterparty: WordsTable & { client_id: string };
  /** What is known of who held which job. Kept while it runs, and a while longer: messages come in any order. */
  attempt: {
    job_id: string;
    attempt: number;
    miner_id: string;
    state: AttemptState;
    outcome: Outcome | null;
    forget_at_ms: number;
    /** Until then its miner counts as busy without a sign; null for one that has to give signs. */
    quiet_until_ms: number | null;
    /** Statements in a row that did not name it while it ran, and since when. */
    missing_beats: Generated<number>;
    missing_since_ms: number | null;
    /** When it ended, until a beat was told of it. */
    tell_at_ms: number | null;
  };
  /** One row a payment, so that none counts twice. */
  earning: { payment_id: string; miner_id: string; earned_minor: number; forget_at_ms: number };
}
