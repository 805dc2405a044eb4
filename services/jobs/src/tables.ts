import type { JobStatus, JobType, Payload, PaymentStatus } from '@aitbc/contracts';
import type { Generated } from 'kysely';
import type { z } from 'zod';

export type JobEventType =
  | 'pending'
  | 'running'
  | 'progress'
  | 'retrying'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'expired';

export interface JobRow {
  seq: number;
  id: string;
  client_id: string;
  job_type: JobType;
  status: JobStatus;
  /** Names what is asked of a miner beside the price: equal demands give the same name. */
  requirement: string;
  /** The model that the parameters name, as they write it. */
  model: string | null;
  /** The key that submitted it, of a rotated one the first; null for a session. */
  key_id: string | null;
  priority: number;
  /** 0 while the escrow of its payment is not held yet. */
  is_funded: 0 | 1;
  constraints: string;
  labels: string;
  /** Where its end is told, besides the account's webhooks. */
  callback_url: string | null;
  /** What hides short parameters and results behind their public hashes; null for jobs older than it. */
  salt: string | null;
  /** Salted. */
  parameters_sha256: string;
  timeout_ms: number;
  ttl_ms: number;
  max_attempts: number;
  /** Rises with every lease: the fence by which a superseded holder is known. */
  attempt: number;
  /** Leases that never reached their miner; they do not count against max_attempts. */
  undelivered: number;
  miner_id: string | null;
  miner_account_id: string | null;
  progress: number;
  error_code: string | null;
  error_message: string | null;
  payment_amount_minor: number | null;
  payment_id: string | null;
  payment_status: z.infer<typeof PaymentStatus> | null;
  /** The payment that stood in escrow when the current or last attempt was leased; null when it was leased unpaid. */
  lease_payment_id: string | null;
  /** What that attempt was leased for: the price in its receipt. */
  lease_price_minor: number;
  /** The attempt whose report was accepted last, and what it said. */
  report_attempt: number | null;
  report_sha256: string | null;
  /** What the miner measured, as JSON. */
  report_metrics: string | null;
  /** The id of the newest event. */
  events: number;
  created_at_ms: number;
  updated_at_ms: number;
  queued_at_ms: number;
  /** Of the current or last attempt. */
  started_at_ms: number | null;
  ended_at_ms: number | null;
  expires_at_ms: number;
  deadline_at_ms: number | null;
  /** When parameters, result and salt were erased. */
  content_gone_at_ms: number | null;
  /** For how long after the end its account wants them kept, where that is shorter than they are kept anyway. */
  content_kept_ms: number | null;
  /** Until when that is. */
  content_due_at_ms: number | null;
}

export interface EventRow {
  job_seq: number;
  id: number;
  type: JobEventType;
  status: JobStatus;
  attempt: number;
  progress: number;
  message: string | null;
  at_ms: number;
}

export interface LostAttempt {
  job_seq: number;
  miner_id: string;
  /** Null for a loss of an earlier release by a miner that is unknown now. */
  account_id: string | null;
  /** 1: it said that the job itself is wrong. */
  is_fault: 0 | 1;
}

export interface ReceiptRow {
  job_seq: number;
  id: string;
  proof: string;
  created_at_ms: number;
  result: string;
}

/** Of a job whose row is gone. */
export type KeptReceipt = Pick<ReceiptRow, 'id' | 'proof' | 'created_at_ms'> & { job_id: string };

/** What an account has here, as one process counted it; the sum over all of them says how much that is. */
export interface AccountLoad {
  account_id: string;
  place: number;
  /** Jobs that wait or run. */
  open_jobs: number;
  /** Bytes of parameters and results. */
  content_bytes: number;
}

/** Which job a request at the OpenAI door became. */
export interface DoorRequest {
  account_id: string;
  name: string;
  request_sha256: string;
  job_id: string;
  expires_at_ms: number;
}

/** What came to its end on a day, of one type, model and key of an account; '' for none. */
export interface UsageDay {
  account_id: string;
  day: number;
  job_type: string;
  model: string;
  key_id: string;
  /** Of the process that counted. */
  place: number;
  completed: number;
  failed: number;
  cancelled: number;
  expired: number;
  spend_minor: number;
}

/** A miner as the miners service last described it. */
export type MinerOffer = Payload<'miners.changed'>;

/** Where the line of the archive ends, and the part that is under way. */
export interface ArchiveRow {
  id: 1;
  line: string;
  /** Of this file when the line began: one that was put back from a backup begins another. */
  identity: string;
  /** Where the archive is. */
  target: string;
  number: number;
  hash: string;
  /** Of the part whose file is in the archive and whose rows are being taken out, as JSON. */
  entry: string | null;
  /** Those rows, as JSON. */
  job_seqs: string | null;
}

export interface Tables {
  archive: ArchiveRow;
  job: Omit<JobRow, 'seq'> & { seq: Generated<number> };
  /** `payload`: as a program of the original coordinator sent it, where the parameters do not hold it as it was. */
  job_parameters: { job_seq: number; parameters: string; payload: string | null };
  job_label: { client_id: string; label: string; job_id: string };
  job_event: EventRow;
  /** A receipt has its result itself where it is older than `job_result`. */
  receipt: ReceiptRow;
  job_result: { seq: Generated<number>; job_seq: number; result: string };
  kept_receipt: KeptReceipt;
  account_setting: { account_id: string; content_kept_ms: number | null };
  account_load: AccountLoad;
  lost_attempt: LostAttempt;
  door_request: DoorRequest;
  sure_of_money: { id: 1; stream: string };
  usage_day: UsageDay;
  miner: {
    id: string;
    account_id: string;
    revision: number;
    status: 'active' | 'inactive';
    concurrency: number;
    /** The whole message, as JSON. */
    offer: string;
  };
  receipt_key: { kid: string; x: string; private_key: string | null; created_at_ms: number };
}
