import type { AuditAction, ServiceName, Webhook, WebhookDelivery, WebhookEventName } from '@aitbc/contracts';

interface AccountTable {
  id: string;
  /** EIP-55 form, so that the case a wallet writes it in never makes two accounts. */
  wallet_address: string | null;
  created_at_ms: number;
}

export interface ApiKeyTable {
  id: string;
  account_id: string;
  key_sha256: string;
  prefix: string;
  label: string | null;
  /** JSON array of scopes. */
  scopes: string;
  source: 'environment' | 'user' | 'admin';
  created_at_ms: number;
  last_used_at_ms: number | null;
  expires_at_ms: number | null;
  revoked_at_ms: number | null;
  revoked_by: 'configuration' | 'account' | 'operator' | null;
  rate_limit_per_minute: number | null;
  spend_cap_minor: number | null;
  transfer_cap_minor: number | null;
  default_price_minor: number | null;
  replaces: string | null;
}

/** An ended session has no row. */
export interface SessionTable {
  id: string;
  account_id: string;
  token_sha256: string;
  created_at_ms: number;
  last_used_at_ms: number;
  /** However much it is used. */
  expires_at_ms: number;
}

/** A used nonce has no row. */
export interface NonceTable {
  nonce: string;
  wallet_address: string;
  chain_id: number;
  domain: string;
  expires_at_ms: number;
}

export interface WebhookTable {
  id: string;
  account_id: string;
  kind: Webhook['kind'];
  /** Of a callback its origin: each delivery has the whole. */
  url: string;
  /** JSON array of names. */
  events: string;
  description: string | null;
  include_result: 0 | 1;
  enabled: 0 | 1;
  disabled_at_ms: number | null;
  disabled_reason: Webhook['disabled_reason'];
  /** Nobody sees it any more; its deliveries are deleted little by little, and then it. */
  deleted: 0 | 1;
  at_once: number;
  failures: number;
  failing_since_ms: number | null;
  rest_until_ms: number;
  /** When it is to be looked at; null while nothing waits, or all that may be called is. */
  next_at_ms: number | null;
  /** Deliveries that are not over; of those, the ones that are being called. */
  waiting: number;
  calling: number;
  /** Deliveries that are over. */
  kept: number;
  skipped: number;
  created_at_ms: number;
  updated_at_ms: number;
}

export interface SeedTable {
  signer_id: string;
  seed: string;
  previous_seed: string | null;
  previous_until_ms: number | null;
}

interface ListenerTable {
  account_id: string;
  revision: number;
  listens: 0 | 1;
}

export interface DeliveryTable {
  id: string;
  webhook_id: string;
  event_id: string;
  type: WebhookEventName;
  object_id: string;
  /** JSON: what the body says in `data`. */
  data: string;
  at_ms: number;
  /** Of a callback; else that of its webhook. */
  url: string | null;
  status: WebhookDelivery['status'];
  /** The number of the last one. */
  attempt: number;
  failures: number;
  /** JSON array: the log. */
  attempts: string;
  /** Waiting: when it may be called. Calling: when the call is taken for lost. */
  due_at_ms: number;
  /** From when on a day of tries is counted. */
  since_ms: number;
  ended_at_ms: number | null;
}

export interface BroadcastTable {
  event_id: string;
  type: WebhookEventName;
  object_id: string;
  data: string;
  at_ms: number;
  /** The last webhook that has it. */
  after_id: string;
}

export interface AuditTable {
  seq: number;
  id: string;
  service: ServiceName;
  action: AuditAction;
  actor_id: string | null;
  credential_id: string | null;
  object: string;
  account_id: string | null;
  /** JSON. */
  details: string;
  at_ms: number;
  prev_hash: string;
  hash: string;
}

export interface Tables {
  audit: AuditTable;
  webhook: WebhookTable;
  webhook_seed: SeedTable;
  webhook_listener: ListenerTable;
  webhook_broadcast: BroadcastTable;
  delivery: DeliveryTable;
  account: AccountTable;
  api_key: ApiKeyTable;
  session: SessionTable;
  nonce: NonceTable;
}
