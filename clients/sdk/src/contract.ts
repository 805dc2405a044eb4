// Made from the contracts by `node run.mjs openapi`: not written by hand.

/** Codes of refusals; a newer coordinator may know more. */
export type ErrorCode = "INVALID_JSON" | "BAD_REQUEST" | "MODEL_SERVER_REFUSED" | "AMOUNT_MISMATCH" | "UNAUTHENTICATED" | "INSUFFICIENT_FUNDS" | "SPEND_CAP_EXCEEDED" | "PRICE_TOO_LOW" | "TRANSFER_CAP_EXCEEDED" | "FORBIDDEN" | "HTTPS_REQUIRED" | "INSUFFICIENT_VOTING_POWER" | "REVIEW_NOT_ALLOWED" | "NOT_FOUND" | "MINER_NOT_REGISTERED" | "MODEL_NOT_FOUND" | "METHOD_NOT_ALLOWED" | "REQUEST_TIMEOUT" | "CONTENT_EXPIRED" | "BODY_TOO_LARGE" | "URI_TOO_LONG" | "UNSUPPORTED_MEDIA_TYPE" | "EXPECTATION_FAILED" | "VALIDATION_ERROR" | "INVALID_JOB_TYPE" | "IDEMPOTENCY_KEY_REUSED" | "RESULT_NOT_READY" | "RATE_LIMITED" | "QUOTA_EXCEEDED" | "TOO_MANY_REQUIREMENTS" | "TOO_MANY_STREAMS" | "TOO_MANY_POLLS" | "EXPORT_RUNNING" | "TOO_MANY_ATTRIBUTES" | "HEADERS_TOO_LARGE" | "IDEMPOTENCY_KEY_IN_USE" | "JOB_ALREADY_ENDED" | "JOB_NOT_ENDED" | "JOB_RUNNING" | "JOB_COMPLETED" | "JOB_NOT_COMPLETED" | "MINER_NAME_IN_USE" | "STALE_LEASE" | "RESULT_CONFLICT" | "PAYMENT_ALREADY_EXISTS" | "PAYMENT_ALREADY_RESOLVED" | "PAYMENT_NOT_ESCROWED" | "SUPPLY_CAP_REACHED" | "GPU_NOT_AVAILABLE" | "GPU_BOOKED" | "ORDER_ALREADY_ENDED" | "ALREADY_REVIEWED" | "PROPOSAL_CLOSED" | "PROPOSAL_NOT_EXECUTABLE" | "PROPOSAL_LIMIT_REACHED" | "PROPOSAL_NOT_VETOABLE" | "GUARDIAN_DISABLED" | "TIMELOCK_ACTIVE" | "KEY_ALREADY_REVOKED" | "KEY_LIMIT_REACHED" | "WEBHOOK_LIMIT_REACHED" | "WEBHOOK_DISABLED" | "INVOICE_LIMIT_REACHED" | "MINER_LIMIT_REACHED" | "PRICE_ABOVE_LIMIT" | "GPU_LIMIT_REACHED" | "ORDER_NOT_ENDED" | "TRANSACTION_NOT_SEALED" | "INTERNAL_ERROR" | "BAD_GATEWAY" | "UPSTREAM_FAILED" | "NO_CAPACITY" | "OVERLOADED" | "SERVICE_UNAVAILABLE" | "GATEWAY_TIMEOUT" | "JOB_TIMED_OUT";

export type JobSubmission = { job_type: string;
parameters: Record<string, unknown>;
constraints?: Constraints | undefined;
priority?: number | undefined;
/** AITBC, at most 8 decimals */ payment_amount?: number | undefined;
/** Start within */ ttl_seconds?: number | undefined;
/** Run within */ timeout_seconds?: number | undefined;
/** Without it, the governed default_max_attempts (3 at the start) */ max_attempts?: number | undefined;
labels?: (string)[] | undefined;
/** How the job ended is sent there, as a webhook of this one job, signed with the secret of POST /v1/users/me/webhooks/callbacks/rotate-secret */ callback_url?: string | undefined; };
export type Constraints = { gpu_model?: string | undefined;
min_vram_gb?: number | undefined;
cuda_version_min?: string | undefined;
region?: string | undefined;
/** AITBC, at most 8 decimals */ max_price?: number | undefined;
/** By this miner only, whoever else is free */ miner_id?: string | undefined; };
export type JobOutput = { /** UUIDv7; taken in any case, given in lower case */ job_id: string;
/** Opaque, from GET /v1/miner/jobs */ lease: string;
/** The number of the first chunk, from 0 for each attempt */ seq: number;
/** At most 64 KB each, as JSON. May be empty */ chunks: (Record<string, unknown>)[]; };
export type JobResultAndNext = { /** UUIDv7; taken in any case, given in lower case */ job_id: string;
/** Opaque, from GET /v1/miner/jobs */ lease: string;
status: "completed" | "failed";
result?: unknown | undefined;
error?: { code: string;
message: string; } | undefined;
retryable?: boolean | undefined;
/** With retryable: no work was begun, for instance because the model is gone. The attempt then does not count, within bounds */ not_started?: boolean | undefined;
metrics?: Record<string, number> | undefined;
next?: { wait_seconds?: number | undefined;
max_jobs?: number | undefined; } | undefined; };
export type Retention = { /** Days after its end for which parameters and result of a job are kept; null: as long as this coordinator keeps them. Never longer than that */ content_days: number | null; };
/** Price, patience and place of one request */ export type DoorOptions = { /** What is paid for the answer, exactly: held before, released on success. 0 is nothing */ price?: number | undefined;
/** Until a miner has it; 60 without */ max_wait_seconds?: number | undefined;
/** Until it is done; 300 without */ timeout_seconds?: number | undefined;
max_attempts?: number | undefined;
region?: string | undefined;
gpu_model?: string | undefined;
min_vram_gb?: number | undefined;
cuda_version_min?: string | undefined;
/** By this miner only, whoever else is free */ miner_id?: string | undefined; };
export type MinerRegistration = { /** Where the miner is known on the ledger; shown to anyone */ address: string;
/** For your own use; the coordinator never calls it */ endpoint?: string | undefined;
/** Job types. None: present, but nothing is offered at the moment */ capabilities: (string)[];
gpus?: ({ model: string;
vram_gb: number;
count: number; })[] | undefined;
cuda_version?: string | null | undefined;
models?: (string)[] | undefined;
region?: string | null | undefined;
/** AITBC, at most 8 decimals */ price_per_job?: number | undefined;
concurrency?: number | undefined;
name?: string | undefined;
/** Of this process of the agent; a second one that lives under the same name is refused */ instance_id?: string | undefined;
/** For the owner: what is not offered at the moment, and why */ status_note?: string | null | undefined; };
export type GpuRegistration = { model: string;
memory_gb: number;
cuda_version?: string | undefined;
region: string;
/** AITBC; the base when pricing is dynamic */ price_per_hour: number;
pricing?: "fixed" | "dynamic" | undefined;
capabilities?: (string)[] | undefined;
/** The registered miner that this GPU stands in. Without it the GPU counts as present while any miner of the account is active, or when the account has none */ miner_id?: string | undefined; };
export type PaymentRequest = { /** UUIDv7; taken in any case, given in lower case */ job_id: string;
/** AITBC, at most 8 decimals */ amount: number;
currency?: "AITBC" | undefined;
payment_method?: "aitbc_token" | undefined;
escrow_timeout_seconds?: number | undefined; };
export type CreditRequest = { /** AITBC, at most 8 decimals */ amount: number;
reason: string; };
export type ExchangePaymentRequest = { /** AITBC, at most 8 decimals */ aitbc_amount?: number | undefined;
/** BTC, at most 8 decimals */ btc_amount?: number | undefined; };
export type BitcoinSendRequest = { /** Bitcoin address */ address?: string | undefined;
/** UUIDv7; taken in any case, given in lower case */ payment_id?: string | undefined;
/** What is missing, when `payment_id` is given without it */ btc_amount?: number | undefined; };
export type BitcoinMineRequest = { blocks?: number | undefined; };
export type TransferRequest = { to: string;
/** AITBC, at most 8 decimals */ amount: number;
memo?: string | undefined; };
export type ProposalDraft = { title: string;
description: string;
voting_period_days?: number | undefined;
/** Share of what can vote that must be cast, abstentions included: no less than `quorum_floor`, which it is without. A proposal to raise `quorum_floor` is held to what it asks for */ quorum_threshold?: number | undefined;
/** Share of for among for and against that must be reached: no less than the parameter `approval_threshold`, which it is without. A proposal to raise that is held to what it asks for */ approval_threshold?: number | undefined;
type: "parameter_change";
target: ParameterChange; } | { title: string;
description: string;
voting_period_days?: number | undefined;
/** Share of what can vote that must be cast, abstentions included: no less than `quorum_floor`, which it is without. A proposal to raise `quorum_floor` is held to what it asks for */ quorum_threshold?: number | undefined;
/** Share of for among for and against that must be reached: no less than the parameter `approval_threshold`, which it is without. A proposal to raise that is held to what it asks for */ approval_threshold?: number | undefined;
type: "fund_allocation";
target: FundAllocation; } | { title: string;
description: string;
voting_period_days?: number | undefined;
/** Share of what can vote that must be cast, abstentions included: no less than `quorum_floor`, which it is without. A proposal to raise `quorum_floor` is held to what it asks for */ quorum_threshold?: number | undefined;
/** Share of for among for and against that must be reached: no less than the parameter `approval_threshold`, which it is without. A proposal to raise that is held to what it asks for */ approval_threshold?: number | undefined;
type: "policy_change";
target: PolicyChange; } | { title: string;
description: string;
voting_period_days?: number | undefined;
/** Share of what can vote that must be cast, abstentions included: no less than `quorum_floor`, which it is without. A proposal to raise `quorum_floor` is held to what it asks for */ quorum_threshold?: number | undefined;
/** Share of for among for and against that must be reached: no less than the parameter `approval_threshold`, which it is without. A proposal to raise that is held to what it asks for */ approval_threshold?: number | undefined;
type: "protocol_upgrade";
target: ProtocolUpgrade; };
export type ParameterChange = { parameter: "platform_fee_basis_points" | "escrow_timeout_seconds" | "block_interval_seconds" | "heartbeat_timeout_seconds" | "default_max_attempts" | "account_open_jobs_max" | "account_content_megabytes_max" | "supported_job_types" | "rate_limit_client_per_minute" | "rate_limit_miner_per_minute" | "rate_limit_user_per_minute" | "min_proposal_voting_power" | "timelock_seconds" | "quorum_floor" | "approval_threshold" | "guardian_enabled";
value: unknown; };
/** A payment out of the treasury account */ export type FundAllocation = { /** UUIDv7; taken in any case, given in lower case */ recipient_account_id: string;
/** AITBC, at most 8 decimals */ amount: number; };
/** The name of a policy and its whole new text */ export type PolicyChange = { policy: string;
text: string; };
/** The name of a release and what it changes */ export type ProtocolUpgrade = { release: string;
text: string; };
export type Veto = { reason: string; };
export type VoteCast = { /** UUIDv7; taken in any case, given in lower case */ proposal_id: string;
vote: "for" | "against" | "abstain";
reason?: string | undefined; };
export type ParameterReset = { reason: string; };
export type WebhookRequest = { /** https; in development http too. Only addresses out in the internet are called */ url: string;
events: ("job.completed" | "job.failed" | "job.cancelled" | "job.expired" | "payment.released" | "payment.refunded" | "booking.started" | "booking.ended" | "invoice.confirmed" | "proposal.passed" | "proposal.executed" | "miner.inactive")[];
description?: string | undefined;
/** job.completed brings the result, when the whole is at most 20 KB. Without it: ids and states alone */ include_result?: boolean | undefined; };
export type WebhookChange = { /** https; in development http too. Only addresses out in the internet are called */ url?: string | undefined;
events?: ("job.completed" | "job.failed" | "job.cancelled" | "job.expired" | "payment.released" | "payment.refunded" | "booking.started" | "booking.ended" | "invoice.confirmed" | "proposal.passed" | "proposal.executed" | "miner.inactive")[] | undefined;
description?: string | null | undefined;
/** job.completed brings the result, when the whole is at most 20 KB. Without it: ids and states alone */ include_result?: boolean | undefined;
enabled?: boolean | undefined; };
export type WebhookEvent = { type: "job.completed" | "job.failed" | "job.cancelled" | "job.expired";
data: { /** UUIDv7; taken in any case, given in lower case */ job_id: string;
status: "completed" | "failed" | "cancelled" | "expired";
miner_id: string | null;
payment_id: string | null;
/** What its receipt says; 0 without one */ price: number;
/** ISO 8601, UTC */ ended_at: string;
/** With `include_result`, of a job that completed; as GET of the job shows it */ result?: unknown | undefined;
/** Why there is no `result` though it was asked for. The whole body is 20 KB at most */ result_omitted?: "too_large" | "not_there" | undefined; };
/** When it happened */ timestamp: string; } | { type: "payment.released" | "payment.refunded";
data: { /** UUIDv7; taken in any case, given in lower case */ payment_id: string;
/** Null: it is of a booking */ job_id: string | null;
status: "released" | "refunded";
/** AITBC */ amount: number;
payer_id: string | null;
payee_id: string | null;
/** What the payee got, fee taken off */ earned: number; };
/** When it happened */ timestamp: string; } | { type: "booking.started" | "booking.ended";
data: { /** UUIDv7; taken in any case, given in lower case */ order_id: string;
/** UUIDv7; taken in any case, given in lower case */ gpu_id: string;
status: "active" | "ended";
/** Why it ended */ reason: string | null; };
/** When it happened */ timestamp: string; } | { type: "invoice.confirmed";
data: { /** Of GET /v1/exchange/payment-status/{payment_id} */ payment_id: string;
status: string;
/** AITBC */ credited: number; };
/** When it happened */ timestamp: string; } | { type: "proposal.passed" | "proposal.executed";
data: { /** UUIDv7; taken in any case, given in lower case */ proposal_id: string;
status: "passed" | "executed"; };
/** When it happened */ timestamp: string; } | { type: "miner.inactive";
data: { /** UUIDv7; taken in any case, given in lower case */ miner_id: string;
status: "inactive"; };
/** When it happened */ timestamp: string; };
/** Every answer that is not 2xx has this shape. */ export type Error = { error: { code: ErrorCode;
/** One sentence for a person */ message: string;
details: Record<string, unknown>; }; };
/** Every answer of an OpenAI route that is not 2xx has this shape. */ export type OpenAiError = { error: { /** One sentence for a person */ message: string;
type: string;
/** The field that is wrong */ param: string | null;
code: string; }; };
export type Health = { status: "ok" | "unavailable";
service: string;
dependencies: Record<string, { ok: boolean;
required: boolean;
message: string | null; }>; };
export type Job = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ client_id: string;
job_type: "chat_completion" | "text_completion" | "llm_inference" | "embedding" | "image_generation" | "ocr" | "language_detection" | "custom";
parameters: Record<string, unknown>;
/** 32 random bytes, base64url. Known to the client and the miner alone: with it, `sha256(salt bytes ‖ canonical JSON (RFC 8785) of parameters or result as shown here)` is the hash in the receipt. Null for jobs older than salts, hashed without */ salt: string | null;
status: "pending" | "running" | "completed" | "failed" | "cancelled" | "expired";
constraints: Constraints;
priority: number;
labels: (string)[];
callback_url: string | null;
attempt: number;
max_attempts: number;
miner_id: string | null;
progress: number;
result: unknown;
error: { code: string;
message: string; } | null;
payment_amount: number | null;
payment_id: string | null;
payment_status: "pending" | "escrowed" | "released" | "refunded" | "failed" | null;
/** ISO 8601, UTC */ created_at: string;
/** ISO 8601, UTC */ updated_at: string;
started_at: string | null;
ended_at: string | null;
/** ISO 8601, UTC */ expires_at: string;
timeout_seconds: number;
/** When its parameters, result and salt were erased: at its client’s wish, or when the time was over for which they are kept. From then on parameters are `{}`, result and salt null */ content_expired_at: string | null;
metrics: { queue_ms: number | null;
run_ms: number | null;
/** What the miner said it measured */ reported: Record<string, number> | null; }; };
export type JobRemains = { /** UUIDv7; taken in any case, given in lower case */ job_id: string;
/** ISO 8601, UTC */ content_expired_at: string;
/** SHA-256, lower-case hex, over the bytes of the job’s salt and then the parameters as canonical JSON (RFC 8785, UTF-8) */ parameters_sha256: string;
result_sha256: string | null;
receipt: { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** Compact JWS (EdDSA, Ed25519), checked offline with /.well-known/jwks.json */ proof: string;
/** ISO 8601, UTC */ created_at: string; } | null; };
export type JobStatusView = { /** UUIDv7; taken in any case, given in lower case */ id: string;
status: "pending" | "running" | "completed" | "failed" | "cancelled" | "expired";
progress: number;
attempt: number;
waiting_reason: "awaiting_funds" | "price_too_low" | "no_capable_miner" | "all_busy" | "retrying" | null;
/** About so many jobs of the same kind come before it; null when not waiting or not known */ queue_position: number | null;
error: { code: string;
message: string; } | null;
/** ISO 8601, UTC */ updated_at: string; };
export type JobEvent = { id: number;
type: "pending" | "running" | "progress" | "retrying";
/** UUIDv7; taken in any case, given in lower case */ job_id: string;
status: "pending" | "running" | "completed" | "failed" | "cancelled" | "expired";
attempt: number;
progress: number;
message: string | null;
/** ISO 8601, UTC */ at: string; } | { id: number;
type: "completed" | "failed" | "cancelled" | "expired";
/** UUIDv7; taken in any case, given in lower case */ job_id: string;
status: "pending" | "running" | "completed" | "failed" | "cancelled" | "expired";
attempt: number;
progress: number;
message: string | null;
/** ISO 8601, UTC */ at: string;
/** What counts, whatever came as deltas. Null without one, and when it is larger than 256 KB: ask for the job */ result: unknown; } | { type: "delta";
/** UUIDv7; taken in any case, given in lower case */ job_id: string;
attempt: number;
/** The number of the first chunk, from 0 for each attempt */ seq: number;
chunks: (Record<string, unknown>)[]; } | { type: "restarted";
/** UUIDv7; taken in any case, given in lower case */ job_id: string;
attempt: number; } | { type: "gap";
/** UUIDv7; taken in any case, given in lower case */ job_id: string;
attempt: number;
seq: number; };
export type Receipt = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ job_id: string;
/** UUIDv7; taken in any case, given in lower case */ miner_id: string;
result: unknown;
/** 32 random bytes, base64url. Known to the client and the miner alone: with it, `sha256(salt bytes ‖ canonical JSON (RFC 8785) of parameters or result as shown here)` is the hash in the receipt. Null for jobs older than salts, hashed without */ salt: string | null;
/** Compact JWS (EdDSA, Ed25519), checked offline with /.well-known/jwks.json */ proof: string;
/** ISO 8601, UTC */ created_at: string; };
export type PublicReceipt = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ job_id: string;
attempt: number;
/** UUIDv7; taken in any case, given in lower case */ client_id: string;
/** UUIDv7; taken in any case, given in lower case */ miner_id: string;
job_type: string;
/** SHA-256, lower-case hex, over the bytes of the job’s salt and then the parameters as canonical JSON (RFC 8785, UTF-8) */ parameters_sha256: string;
/** SHA-256, lower-case hex, over the bytes of the job’s salt and then the result as canonical JSON (RFC 8785, UTF-8) */ result_sha256: string;
/** AITBC */ price: number;
currency: string;
/** ISO 8601, UTC */ started_at: string;
/** ISO 8601, UTC */ completed_at: string;
/** ISO 8601, UTC */ created_at: string; };
export type ReceiptClaims = { /** UUIDv7; taken in any case, given in lower case */ receipt_id: string;
/** UUIDv7; taken in any case, given in lower case */ job_id: string;
attempt: number;
/** UUIDv7; taken in any case, given in lower case */ client_id: string;
/** UUIDv7; taken in any case, given in lower case */ miner_id: string;
job_type: string;
/** SHA-256, lower-case hex, over the bytes of the job’s salt and then the parameters as canonical JSON (RFC 8785, UTF-8) */ parameters_sha256: string;
/** SHA-256, lower-case hex, over the bytes of the job’s salt and then the result as canonical JSON (RFC 8785, UTF-8) */ result_sha256: string;
/** AITBC */ price: number;
currency: string;
/** ISO 8601, UTC */ started_at: string;
/** ISO 8601, UTC */ completed_at: string; };
/** Has the fields that it is grouped by */ export type Usage = { /** A day of UTC */ day?: string | undefined;
job_type?: string | undefined;
/** As the jobs wrote it; null for jobs that name none */ model?: string | null | undefined;
/** The key that submitted, of a rotated one the first; null for a session, and for jobs older than this count */ key_id?: string | null | undefined;
/** That ended */ jobs: number;
completed: number;
failed: number;
cancelled: number;
expired: number;
/** The prices in the receipts of those that completed */ spend: number; };
export type OfferedModel = { id: string;
object: "model";
/** Whole seconds */ created: number;
owned_by: "aitbc";
aitbc: { kinds: ("chat" | "completion" | "embedding")[];
miners: number;
free_slots: number;
/** The lowest price that a miner takes, AITBC */ price_min: number;
price_median: number;
/** Median of the last waits for a miner; null when nobody asked lately */ usual_wait_seconds: number | null; }; };
export type Miner = { /** UUIDv7; taken in any case, given in lower case */ id: string;
address: string;
endpoint: string | null;
capabilities: (string)[];
status: "active" | "inactive";
/** ISO 8601, UTC */ last_heartbeat: string;
name: string;
gpus: ({ model: string;
vram_gb: number;
count: number; })[];
cuda_version: string | null;
models: (string)[];
region: string | null;
/** AITBC */ price_per_job: number;
concurrency: number;
inflight: number;
reputation: number;
jobs_completed: number;
jobs_failed: number; };
export type PublicMiner = { /** UUIDv7; taken in any case, given in lower case */ id: string;
status: "active" | "inactive";
capabilities: (string)[];
gpus: ({ model: string;
vram_gb: number;
count: number; })[];
region: string | null;
reputation: number; };
export type GpuOffer = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ owner_id: string;
miner_id: string | null;
model: string;
memory_gb: number;
cuda_version: string | null;
region: string;
capabilities: (string)[];
/** Offered by its owner, its miner alive, and not booked at this moment */ available: boolean;
/** A booking runs at this moment */ booked: boolean;
pricing: "fixed" | "dynamic";
/** The price now, AITBC */ price_per_hour: number;
/** What the owner asked for, AITBC */ base_price_per_hour: number;
currency: string;
/** Of its owner, over all that it offers and ever offered: (5 × 3 + Σ weight × stars) / (5 + Σ weight). Each account that paid counts once, by its latest review, with the weight log2(1 + paid / 1 AITBC), 2 at most; paid is what its reviewed bookings with this owner paid. Null while all weights together are below 0.01 */ rating: number | null;
/** Accounts whose paid and reviewed bookings the rating comes from */ rating_count: number;
/** The sum of their weights */ rating_weight: number;
/** Bookings this owner broke off, by release or by absence, over all its GPUs */ owner_interruptions: number;
/** ISO 8601, UTC */ created_at: string;
/** ISO 8601, UTC */ updated_at: string; };
export type GpuOfferDetail = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ owner_id: string;
miner_id: string | null;
model: string;
memory_gb: number;
cuda_version: string | null;
region: string;
capabilities: (string)[];
/** Offered by its owner, its miner alive, and not booked at this moment */ available: boolean;
/** A booking runs at this moment */ booked: boolean;
pricing: "fixed" | "dynamic";
/** The price now, AITBC */ price_per_hour: number;
/** What the owner asked for, AITBC */ base_price_per_hour: number;
currency: string;
/** Of its owner, over all that it offers and ever offered: (5 × 3 + Σ weight × stars) / (5 + Σ weight). Each account that paid counts once, by its latest review, with the weight log2(1 + paid / 1 AITBC), 2 at most; paid is what its reviewed bookings with this owner paid. Null while all weights together are below 0.01 */ rating: number | null;
/** Accounts whose paid and reviewed bookings the rating comes from */ rating_count: number;
/** The sum of their weights */ rating_weight: number;
/** Bookings this owner broke off, by release or by absence, over all its GPUs */ owner_interruptions: number;
/** ISO 8601, UTC */ created_at: string;
/** ISO 8601, UTC */ updated_at: string;
current_booking: { /** ISO 8601, UTC */ start_time: string;
/** ISO 8601, UTC */ end_time: string; } | null;
/** The next windows already taken, at most 20 */ upcoming_bookings: ({ /** ISO 8601, UTC */ start_time: string;
/** ISO 8601, UTC */ end_time: string; })[];
/** Of the last step; null for a fixed price */ price_factors: PriceFactors | null;
/** Newest first, at most 20 */ price_history: ({ /** AITBC */ price_per_hour: number;
/** ISO 8601, UTC */ at: string; })[]; };
export type PriceFactors = { /** The owner’s base; for a model, the median of its offers */ base_price: number;
/** AITBC */ previous_price: number;
/** Booked share of the time that GPUs of this model were offered */ utilization_24h: number;
/** Other offers of the model */ competing_offers: number;
/** Of these, the ones free to book */ competing_available: number;
/** 0.5 + utilization_24h up to a utilisation of 0.5, then 2 × utilization_24h */ demand_factor: number;
/** 1.25 − 0.5 × competing_available / competing_offers; 1 without competing offers */ competition_factor: number;
/** demand_factor × competition_factor, kept between 0.5 and 2 */ multiplier: number;
/** base_price × multiplier */ target_price: number;
/** The lowest price one step allows: previous_price − 10 % */ step_min: number;
/** The highest price one step allows: previous_price + 10 % */ step_max: number;
/** target_price, kept between step_min and step_max */ price: number;
/** ISO 8601, UTC */ computed_at: string; };
export type Order = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ gpu_id: string;
gpu_model: string;
/** UUIDv7; taken in any case, given in lower case */ booker_id: string;
/** UUIDv7; taken in any case, given in lower case */ owner_id: string;
job_id: string | null;
status: "pending_payment" | "active" | "ended" | "settled" | "cancelled";
/** Why it was cancelled or ended */ reason: "INSUFFICIENT_FUNDS" | "SPEND_CAP_EXCEEDED" | "PAYMENT_TIMEOUT" | "WITHDRAWN" | "COMPLETED" | "RELEASED_BY_BOOKER" | "RELEASED_BY_OWNER" | "MINER_ABSENT" | "REFUNDED_BY_OPERATOR" | null;
/** Provisional while pending_payment: the window begins when the money is held */ start_time: string;
/** ISO 8601, UTC */ end_time: string;
duration_hours: number;
/** Agreed at booking; later price changes do not touch it */ price_per_hour: number;
/** Held in escrow */ amount: number;
currency: string;
payment_id: string | null;
used_minutes: number | null;
/** What the owner gets, before the fee; null until it ended */ paid: number | null;
refunded: number | null;
/** ISO 8601, UTC */ created_at: string;
/** ISO 8601, UTC */ updated_at: string;
ended_at: string | null;
settled_at: string | null; };
export type Review = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ gpu_id: string;
/** UUIDv7; taken in any case, given in lower case */ order_id: string;
/** UUIDv7; taken in any case, given in lower case */ reviewer_id: string;
rating: number;
comment: string | null;
/** ISO 8601, UTC */ created_at: string; };
export type ModelPricing = { model: string;
currency: string;
/** AITBC */ min_price: number;
/** AITBC */ max_price: number;
/** AITBC */ average_price: number;
/** AITBC */ median_price: number;
available: number;
total: number;
utilization_24h: number;
/** AITBC */ suggested_price: number;
factors: PriceFactors; };
export type Payment = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** Null when it pays for a booking */ job_id: string | null;
/** The booking it pays for */ order_id: string | null;
/** UUIDv7; taken in any case, given in lower case */ payer_id: string;
/** Known once a miner holds the job */ payee_id: string | null;
/** AITBC */ amount: number;
/** What the platform takes when the whole is released, at the rate of the day of the payment, rounded down to 0.00000001 (the payee gets the rest, so of the smallest amount all); what it took, once resolved */ fee: number;
/** What went back to the payer */ refunded_amount: number;
currency: "AITBC";
status: "pending" | "escrowed" | "released" | "refunded" | "failed";
failure: { code: string;
message: string; } | null;
/** A place on the ledger */ escrow_address: string;
/** ISO 8601, UTC */ created_at: string;
/** ISO 8601, UTC */ updated_at: string;
/** Moves with a job that runs; null for a booking */ expires_at: string | null;
released_at: string | null;
refunded_at: string | null;
/** Of the transfer that resolved it; of the hold before that */ transaction_hash: string | null; };
export type PaymentStatement = { /** UUIDv7; taken in any case, given in lower case */ payment_id: string;
claims: PaymentStatementClaims;
/** Compact JWS (EdDSA, Ed25519) over the claims, checked offline with /v1/explorer/keys */ proof: string; };
export type PaymentStatementClaims = { /** UUIDv7; taken in any case, given in lower case */ payment_id: string;
job_id: string | null;
order_id: string | null;
status: "pending" | "escrowed" | "released" | "refunded" | "failed";
payer: { /** UUIDv7; taken in any case, given in lower case */ account_id: string;
/** A place on the ledger */ address: string; };
payee: { /** UUIDv7; taken in any case, given in lower case */ account_id: string;
/** A place on the ledger */ address: string; } | null;
/** A place on the ledger */ escrow_address: string;
/** AITBC */ amount: number;
/** AITBC */ fee: number;
/** AITBC */ earned: number;
/** AITBC */ refunded: number;
currency: "AITBC";
transfers: ({ /** SHA-256, hex; taken in any case, given in lower case */ hash: string;
/** credit and exchange come from the mint (exchange goes back to it for bitcoin that left the chain); hold goes into escrow; release, fee and refund come out of it; treasury_share is half of the fees of a block; allocation is what token holders decided; transfer is what one account gave another */ kind: "credit" | "exchange" | "hold" | "release" | "fee" | "refund" | "treasury_share" | "allocation" | "transfer";
/** A place on the ledger */ from: string;
/** A place on the ledger */ to: string;
/** AITBC */ amount: number;
/** ISO 8601, UTC */ timestamp: string;
block_height: number | null; })[];
/** Of the last transfer; null until sealed */ block_height: number | null;
/** ISO 8601, UTC */ created_at: string;
resolved_at: string | null;
/** ISO 8601, UTC */ issued_at: string; };
export type Balance = { /** UUIDv7; taken in any case, given in lower case */ user_id: string;
/** A place on the ledger */ address: string;
/** What it can spend, what it owes as far as it has it, and what is held */ balance: number;
/** What it can spend: without what it owes */ available: number;
/** In escrow for payments not yet resolved */ held: number;
/** Owed because bitcoin left the chain after it was credited. So much of the balance cannot be spent; once the balance covers it, it is taken, and it ends by itself when the bitcoin stands in the chain again */ debt: number;
currency: "AITBC";
/** ISO 8601, UTC */ updated_at: string; };
export type Credit = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** Null for the treasury */ account_id: string | null;
/** A place on the ledger */ address: string;
/** AITBC */ amount: number;
currency: "AITBC";
reason: string;
/** SHA-256, hex; taken in any case, given in lower case */ transaction_hash: string;
/** ISO 8601, UTC */ created_at: string; };
export type Block = { height: number;
/** SHA-256 of the header */ hash: string;
/** SHA-256, hex; taken in any case, given in lower case */ previous_hash: string;
/** RFC 6962 tree over the transaction hashes, in order */ merkle_root: string;
tx_count: number;
/** ISO 8601, UTC */ timestamp: string;
/** The signing key: its RFC 7638 thumbprint */ proposer: string;
/** Ed25519 over the header, base64url */ signature: string; };
export type Transaction = { /** SHA-256, hex; taken in any case, given in lower case */ hash: string;
/** Derived from what it is for, so that it cannot happen twice */ id: string;
/** Null until sealed */ block_height: number | null;
/** A place on the ledger */ from: string;
/** A place on the ledger */ to: string;
/** AITBC */ value: number;
currency: "AITBC";
/** credit and exchange come from the mint (exchange goes back to it for bitcoin that left the chain); hold goes into escrow; release, fee and refund come out of it; treasury_share is half of the fees of a block; allocation is what token holders decided; transfer is what one account gave another */ kind: "credit" | "exchange" | "hold" | "release" | "fee" | "refund" | "treasury_share" | "allocation" | "transfer";
/** The payment, credit, invoice, block, proposal or transfer it belongs to */ reference: string;
/** ISO 8601, UTC */ timestamp: string;
/** With `proofs=true`, once sealed */ proof?: { /** Place in the block, from 0 */ index: number;
/** RFC 6962 audit path, from the leaf up */ path: (string)[]; } | null | undefined; };
export type InclusionProof = { /** SHA-256, hex; taken in any case, given in lower case */ transaction_hash: string;
/** Place in the block, from 0 */ index: number;
/** RFC 6962 audit path, from the leaf up */ path: (string)[];
tx_count: number;
/** SHA-256, hex; taken in any case, given in lower case */ merkle_root: string;
block_height: number;
/** SHA-256, hex; taken in any case, given in lower case */ block_hash: string; };
export type LedgerAddress = { /** A place on the ledger */ address: string;
kind: "user" | "escrow" | "mint" | "platform" | "treasury";
account_id: string | null;
/** Spendable; what it holds in escrow stands at the escrow addresses */ balance: number;
currency: "AITBC";
tx_count: number;
/** Of its first transaction, or when it was opened */ first_seen: string;
/** ISO 8601, UTC */ last_seen: string; };
export type LedgerAddressDetail = { /** A place on the ledger */ address: string;
kind: "user" | "escrow" | "mint" | "platform" | "treasury";
account_id: string | null;
/** Spendable; what it holds in escrow stands at the escrow addresses */ balance: number;
currency: "AITBC";
tx_count: number;
/** Of its first transaction, or when it was opened */ first_seen: string;
/** ISO 8601, UTC */ last_seen: string;
/** The latest 25 */ recent_transactions: (Transaction)[]; };
export type ExchangePayment = { /** UUIDv7; taken in any case, given in lower case */ payment_id: string;
/** pending: nothing seen yet. processing: enough is on its way and waits for confirmations. underpaid: something came, less than asked. expired: the time is over and nothing came. confirmed, overpaid, late (and underpaid, once `credited` is set): credited, final */ status: "pending" | "processing" | "confirmed" | "underpaid" | "overpaid" | "late" | "expired";
/** Bitcoin address */ payment_address: string;
/** What is asked; 0 when it `follows` another */ btc_amount: number;
/** What exactly that pays for; 0 when it `follows` another */ aitbc_amount: number;
/** AITBC for 1 BTC; holds until `expires_at` */ rate: number;
/** By the value at risk now; it may rise until the credit */ confirmations_required: number;
/** ISO 8601, UTC */ created_at: string;
/** Money seen by then is credited at `rate` */ expires_at: string;
/** BIP 21, for a wallet to open */ uri: string;
/** The URI as a QR code: an SVG in a data URI */ qr: string; };
export type ExchangePaymentStatus = { /** UUIDv7; taken in any case, given in lower case */ payment_id: string;
/** pending: nothing seen yet. processing: enough is on its way and waits for confirmations. underpaid: something came, less than asked. expired: the time is over and nothing came. confirmed, overpaid, late (and underpaid, once `credited` is set): credited, final */ status: "pending" | "processing" | "confirmed" | "underpaid" | "overpaid" | "late" | "expired";
/** Bitcoin address */ payment_address: string;
/** What is asked; 0 when it `follows` another */ btc_amount: number;
/** What exactly that pays for; 0 when it `follows` another */ aitbc_amount: number;
/** AITBC for 1 BTC; holds until `expires_at` */ rate: number;
/** By the value at risk now; it may rise until the credit */ confirmations_required: number;
/** ISO 8601, UTC */ created_at: string;
/** Money seen by then is credited at `rate` */ expires_at: string;
/** BTC seen on the chain or on its way there */ received: number;
/** BTC still to be sent */ remaining: number;
/** Of the least confirmed part; 0 without any */ confirmations: number;
/** The Bitcoin transaction that completed it; the latest one before that */ tx_hash: string | null;
/** The outputs that paid to it, oldest first: the latest 100 */ transactions: (BitcoinOutput)[];
/** The one credit of this payment, once made */ credited: { /** AITBC */ aitbc_amount: number;
/** BTC */ btc_amount: number;
/** AITBC for 1 BTC of the late part; null when no part was late */ late_rate: number | null;
/** Of the transfer from the mint, in the explorer */ transaction_hash: string;
/** ISO 8601, UTC */ at: string; } | null;
/** A part of what was credited has left the chain again: `debt`, until it is settled */ reverted: boolean;
/** What its account owes for that; 0 once it is settled */ debt: number;
/** The payment this one came out of: bitcoin that arrived after that was credited */ follows: string | null;
followed_by: string | null;
/** ISO 8601, UTC */ updated_at: string; };
export type BitcoinOutput = { /** Bitcoin transaction id */ txid: string;
vout: number;
/** BTC */ btc_amount: number;
/** reorged: its block left the chain and it is not seen again yet. replaced: another transaction spent its coins, or it was dropped. Neither counts */ state: "mempool" | "confirmed" | "reorged" | "replaced";
confirmations: number;
block_height: number | null;
/** Seen after `expires_at` */ late: boolean;
credited: boolean;
/** ISO 8601, UTC */ first_seen_at: string; };
export type ExchangeRates = { /** AITBC for 1 BTC */ btc_to_aitbc: number;
/** BTC for 1 AITBC */ aitbc_to_btc: number;
/** The rate is all there is: 0 */ fee_percent: number;
/** BTC */ min_btc: number;
/** AITBC */ max_aitbc: number;
/** Confirmations before the credit, by the value at risk */ confirmations: ({ below_btc: number | null;
confirmations: number; })[];
/** How long a new payment holds its rate */ expires_in_seconds: number;
network: "mainnet" | "testnet" | "signet" | "regtest"; };
export type BitcoinDebt = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ account_id: string;
/** The payment with bitcoin that was credited */ payment_id: string;
/** Bitcoin transaction id */ txid: string;
vout: number;
/** BTC */ btc_amount: number;
/** Its part of the credit: what is owed */ amount: number;
/** open: owed. paid: taken from the account. returned: the bitcoin stands in the chain again, nothing is owed and what was taken was given back */ status: "open" | "paid" | "returned";
/** What the account has now, owed or not */ balance: number;
/** Of the transfer that paid it */ transaction_hash: string | null;
/** ISO 8601, UTC */ opened_at: string;
closed_at: string | null; };
export type Transfer = { /** UUIDv7; taken in any case, given in lower case */ id: string;
from: { /** UUIDv7; taken in any case, given in lower case */ account_id: string;
/** A place on the ledger */ address: string; };
to: { /** UUIDv7; taken in any case, given in lower case */ account_id: string;
/** A place on the ledger */ address: string; };
/** AITBC */ amount: number;
currency: "AITBC";
/** For the two parties alone: the explorer does not show it */ memo: string | null;
/** SHA-256, hex; taken in any case, given in lower case */ transaction_hash: string;
/** ISO 8601, UTC */ created_at: string; };
export type StatementEntry = { /** SHA-256, hex; taken in any case, given in lower case */ hash: string;
/** ISO 8601, UTC */ time: string;
/** credit and exchange come from the mint (exchange goes back to it for bitcoin that left the chain); hold goes into escrow; release, fee and refund come out of it; treasury_share is half of the fees of a block; allocation is what token holders decided; transfer is what one account gave another */ kind: "credit" | "exchange" | "hold" | "release" | "fee" | "refund" | "treasury_share" | "allocation" | "transfer";
/** AITBC: above zero came in, below zero went out */ amount: number;
/** At your address after it. What is held in escrow stands elsewhere: hold takes it, refund brings it back */ balance: number;
currency: "AITBC";
/** A place on the ledger */ counterparty: string;
/** The payment, credit, invoice, proposal or transfer it belongs to */ reference: string;
memo: string | null; };
export type Proposal = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ proposer_id: string;
title: string;
description: string;
type: "parameter_change" | "fund_allocation" | "policy_change" | "protocol_upgrade";
target: { parameter: "platform_fee_basis_points" | "escrow_timeout_seconds" | "block_interval_seconds" | "heartbeat_timeout_seconds" | "default_max_attempts" | "account_open_jobs_max" | "account_content_megabytes_max" | "supported_job_types" | "rate_limit_client_per_minute" | "rate_limit_miner_per_minute" | "rate_limit_user_per_minute" | "min_proposal_voting_power" | "timelock_seconds" | "quorum_floor" | "approval_threshold" | "guardian_enabled";
value: unknown; } | FundAllocation | PolicyChange | ProtocolUpgrade;
status: "active" | "passed" | "rejected" | "queued" | "executed" | "cancelled" | "execution_failed";
quorum_threshold: number;
approval_threshold: number;
/** The sealed block whose balances are the votes */ snapshot_height: number;
tally: Tally;
execution: Execution | null;
/** ISO 8601, UTC */ created_at: string;
/** ISO 8601, UTC */ voting_ends_at: string;
decided_at: string | null;
timelock_ends_at: string | null;
cancelled_at: string | null;
/** The operator who vetoed it; it is cancelled then */ vetoed_by: string | null;
veto_reason: string | null; };
/** Votes by power in AITBC */ export type Tally = { /** AITBC */ for: number;
/** AITBC */ against: number;
/** AITBC */ abstain: number;
voters: number;
/** All power at the snapshot: what the quorum is a share of. Treasury, platform, escrow and mint accounts cannot vote and are not in it */ voting_supply: number;
/** Share of it that voted, cut to 6 decimals */ participation: number;
/** for / (for + against), cut to 6 decimals; null when there is neither */ approval: number | null;
quorum_reached: boolean;
/** The threshold, and more for than against */ approval_reached: boolean; };
export type Execution = { /** UUIDv7; taken in any case, given in lower case */ proposal_id: string;
/** settling: the ledger was told to pay and has not answered yet */ status: "settling" | "executed" | "failed";
/** Null when it failed */ effect: { kind: "parameter_changed";
parameter: "platform_fee_basis_points" | "escrow_timeout_seconds" | "block_interval_seconds" | "heartbeat_timeout_seconds" | "default_max_attempts" | "account_open_jobs_max" | "account_content_megabytes_max" | "supported_job_types" | "rate_limit_client_per_minute" | "rate_limit_miner_per_minute" | "rate_limit_user_per_minute" | "min_proposal_voting_power" | "timelock_seconds" | "quorum_floor" | "approval_threshold" | "guardian_enabled";
value: unknown;
version: number; } | { kind: "funds_allocated";
/** UUIDv7; taken in any case, given in lower case */ recipient_account_id: string;
/** AITBC */ amount: number;
/** Null until the ledger answered */ transaction_hash: string | null; } | { kind: "text_recorded";
subject: string;
/** Of target.text as UTF-8, in hex */ sha256: string; } | null;
/** Why it failed */ reason: string | null;
/** The account that asked; null for the coordinator */ executed_by: string | null;
/** ISO 8601, UTC */ started_at: string;
ended_at: string | null; };
export type Vote = { /** UUIDv7; taken in any case, given in lower case */ proposal_id: string;
/** UUIDv7; taken in any case, given in lower case */ voter_id: string;
vote: "for" | "against" | "abstain";
/** AITBC held at the snapshot */ weight: number;
reason: string | null;
/** ISO 8601, UTC */ cast_at: string; };
export type VotingPower = { /** UUIDv7; taken in any case, given in lower case */ user_id: string;
/** AITBC */ voting_power: number;
/** AITBC */ voting_supply: number;
/** Null before the first block is known */ height: number | null;
sealed_at: string | null;
proposal_id: string | null; };
export type GovernedParameter = { name: "platform_fee_basis_points" | "escrow_timeout_seconds" | "block_interval_seconds" | "heartbeat_timeout_seconds" | "default_max_attempts" | "account_open_jobs_max" | "account_content_megabytes_max" | "supported_job_types" | "rate_limit_client_per_minute" | "rate_limit_miner_per_minute" | "rate_limit_user_per_minute" | "min_proposal_voting_power" | "timelock_seconds" | "quorum_floor" | "approval_threshold" | "guardian_enabled";
description: string;
/** The service that obeys it */ service: string;
value: unknown;
default: unknown;
/** JSON Schema of its values */ bounds: Record<string, unknown>;
/** How far one vote may move it: by a difference, by a factor, or by entries taken out of a list; null: any value */ largest_step: { by: number; } | { times: number; } | { removes: number; } | null;
/** 0 until it was changed */ version: number;
/** The proposal that set the value */ proposal_id: string | null;
/** The operator who reset it to its default */ reset_by: string | null;
reset_reason: string | null;
changed_at: string | null; };
export type ParameterChanged = { version: number;
value: unknown;
/** The vote that did it; null for a reset */ proposal_id: string | null;
/** The operator who did it; null for a vote */ reset_by: string | null;
reset_reason: string | null;
/** ISO 8601, UTC */ changed_at: string; };
export type Session = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** ISO 8601, UTC */ created_at: string;
/** ISO 8601, UTC */ last_used_at: string;
/** ISO 8601, UTC */ expires_at: string;
current: boolean; };
export type ApiKey = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ account_id: string;
/** The first characters, to recognise it by */ prefix: string;
label: string | null;
scopes: ("client" | "miner" | "admin" | "trade" | "vote")[];
/** `environment`: from the configuration; taking it out there revokes it */ source: "environment" | "user" | "admin";
/** ISO 8601, UTC */ created_at: string;
/** To about ten seconds */ last_used_at: string | null;
expires_at: string | null;
revoked_at: string | null;
/** Null: the account's limits hold */ rate_limit_per_minute: number | null;
/** What may be spent with this key in total, and with those that it was rotated from */ spend_cap: number | null;
/** What may be transferred with this key in one day of UTC, together with those that it was rotated from; null for all that the account has */ daily_transfer_cap: number | null;
/** What a request to OpenAI's routes with this key pays when it names no price; null for nothing */ default_price: number | null;
/** The key that this one was made from by rotation */ replaces: string | null; };
export type ApiKeyCreated = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ account_id: string;
/** The first characters, to recognise it by */ prefix: string;
label: string | null;
scopes: ("client" | "miner" | "admin" | "trade" | "vote")[];
/** `environment`: from the configuration; taking it out there revokes it */ source: "environment" | "user" | "admin";
/** ISO 8601, UTC */ created_at: string;
/** To about ten seconds */ last_used_at: string | null;
expires_at: string | null;
revoked_at: string | null;
/** Null: the account's limits hold */ rate_limit_per_minute: number | null;
/** What may be spent with this key in total, and with those that it was rotated from */ spend_cap: number | null;
/** What may be transferred with this key in one day of UTC, together with those that it was rotated from; null for all that the account has */ daily_transfer_cap: number | null;
/** What a request to OpenAI's routes with this key pays when it names no price; null for nothing */ default_price: number | null;
/** The key that this one was made from by rotation */ replaces: string | null;
/** Shown this once; only its SHA-256 is kept */ key: string; };
export type DeadLetter = { id: string;
service: string;
name: string;
stream: string;
seq: number | null;
attempts: number;
error: string;
/** Null: given up, an operator decides */ retry_at: string | null;
/** ISO 8601, UTC */ created_at: string; };
export type WebhookCreated = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** `callback`: made by the first job whose `callback_url` has this origin. It is switched off and on, or deleted; nothing else of it can be changed */ kind: "endpoint" | "callback";
/** Of a callback its origin */ url: string;
events: ("job.completed" | "job.failed" | "job.cancelled" | "job.expired" | "payment.released" | "payment.refunded" | "booking.started" | "booking.ended" | "invoice.confirmed" | "proposal.passed" | "proposal.executed" | "miner.inactive")[];
description: string | null;
include_result: boolean;
enabled: boolean;
disabled_at: string | null;
/** `failing`: nothing got through for three days. `gone`: it answered 410. `owner`: by PATCH */ disabled_reason: "failing" | "gone" | "owner" | null;
/** Nothing got through since then */ failing_since: string | null;
/** Deliveries that are not over */ waiting: number;
/** Events that were left out because too many deliveries waited */ skipped: number;
/** Until then each delivery also carries a signature by the secret before the last rotation */ secret_expires_at: string | null;
/** ISO 8601, UTC */ created_at: string;
/** ISO 8601, UTC */ updated_at: string;
/** Shown this once. In the form of Standard Webhooks */ secret: string; };
export type Webhook = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** `callback`: made by the first job whose `callback_url` has this origin. It is switched off and on, or deleted; nothing else of it can be changed */ kind: "endpoint" | "callback";
/** Of a callback its origin */ url: string;
events: ("job.completed" | "job.failed" | "job.cancelled" | "job.expired" | "payment.released" | "payment.refunded" | "booking.started" | "booking.ended" | "invoice.confirmed" | "proposal.passed" | "proposal.executed" | "miner.inactive")[];
description: string | null;
include_result: boolean;
enabled: boolean;
disabled_at: string | null;
/** `failing`: nothing got through for three days. `gone`: it answered 410. `owner`: by PATCH */ disabled_reason: "failing" | "gone" | "owner" | null;
/** Nothing got through since then */ failing_since: string | null;
/** Deliveries that are not over */ waiting: number;
/** Events that were left out because too many deliveries waited */ skipped: number;
/** Until then each delivery also carries a signature by the secret before the last rotation */ secret_expires_at: string | null;
/** ISO 8601, UTC */ created_at: string;
/** ISO 8601, UTC */ updated_at: string; };
export type WebhookSecret = { /** Shown this once. In the form of Standard Webhooks */ secret: string;
secret_expires_at: string | null; };
export type WebhookDelivery = { /** UUIDv7; taken in any case, given in lower case */ id: string;
/** UUIDv7; taken in any case, given in lower case */ webhook_id: string;
/** The header `webhook-id`: the same for each try */ event_id: string;
type: "job.completed" | "job.failed" | "job.cancelled" | "job.expired" | "payment.released" | "payment.refunded" | "booking.started" | "booking.ended" | "invoice.confirmed" | "proposal.passed" | "proposal.executed" | "miner.inactive";
/** What it is about. Deliveries about one object arrive in order */ object_id: string;
url: string;
/** `failed`: given up, after a day of tries or because the endpoint was switched off */ status: "waiting" | "calling" | "delivered" | "failed";
/** ISO 8601, UTC */ created_at: string;
next_attempt_at: string | null;
ended_at: string | null;
attempts: ({ attempt: number;
/** ISO 8601, UTC */ started_at: string;
duration_ms: number | null;
/** Of HTTP; null when there was no answer */ status: number | null;
/** Null: it was taken (2xx). `interrupted`: we stopped in the middle of it, and it may have arrived */ error: "url_refused" | "address_refused" | "name_unknown" | "timed_out" | "not_reached" | "bad_status" | "interrupted" | null;
/** The first 1 KB of what was answered */ response: string | null; })[]; };
export type AuditEntry = { /** Without a gap */ seq: number;
/** UUIDv7; taken in any case, given in lower case */ id: string;
/** ISO 8601, UTC */ at: string;
/** Where it was done */ service: "jobs" | "miners" | "market" | "payments" | "governance" | "gateway";
action: "key.created" | "key.rotated" | "key.revoked" | "key.restored" | "account.credited" | "proposal.vetoed" | "parameter.reset" | "dead_letter.replayed" | "dead_letter.dropped" | "job.wiped";
/** The account that did it; null: the configuration */ actor_id: string | null;
/** With which key or session */ credential_id: string | null;
/** What it was done to */ object: string;
/** Whose that is */ account_id: string | null;
details: Record<string, string | number | boolean | null>;
/** The `hash` of the entry before; of the first: 64 zeros */ prev_hash: string;
/** SHA-256 of the canonical JSON (RFC 8785) of all other fields of this entry */ hash: string; };
export type ExportLine = { type: "account" | "api_key" | "job" | "receipt" | "transaction" | "exchange_payment" | "order" | "miner" | "vote" | "webhook" | "end" | "error";
data: unknown; };

/** What each job type takes as `parameters`. */
export interface JobParameters {
chat_completion: { request: unknown; };
text_completion: { request: unknown; };
llm_inference: { model: string;
prompt?: string | undefined;
messages?: ({ role: "system" | "user" | "assistant";
content: string; })[] | undefined;
max_tokens?: number | undefined;
temperature?: number | undefined;
seed?: number | undefined; };
embedding: Record<string, unknown>;
image_generation: { model?: string | undefined;
prompt: string;
negative_prompt?: string | undefined;
width?: number | undefined;
height?: number | undefined;
steps?: number | undefined;
seed?: number | undefined; };
ocr: { image_base64: string;
language?: string | undefined; };
language_detection: { text: string; };
custom: { image?: string | undefined;
command?: (string)[] | undefined;
input?: unknown | undefined; };
}

/** What each route takes and answers, by the name of its operation. */
export interface Operations {
/** Submit a job */ "jobs.submit": {
    params: undefined;
    query: undefined;
    body: JobSubmission;
    reply: Job;
  };
/** List own jobs */ "jobs.list": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
status?: "pending" | "running" | "completed" | "failed" | "cancelled" | "expired" | undefined;
job_type?: "chat_completion" | "text_completion" | "llm_inference" | "embedding" | "image_generation" | "ocr" | "language_detection" | "custom" | undefined;
/** ISO 8601, UTC */ created_after?: string | undefined;
label?: string | undefined; };
    body: undefined;
    reply: { items: (Job)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Submit up to 1,000 jobs */ "jobs.submit_batch": {
    params: undefined;
    query: undefined;
    body: { /** JobSubmission each */ jobs: (unknown)[]; };
    reply: { items: ({ status: number;
job?: Job | undefined;
error?: { code: ErrorCode;
/** One sentence for a person */ message: string;
details: Record<string, unknown>; } | undefined; })[]; };
  };
/** One job, with its result when it has one */ "jobs.get": {
    params: { /** UUIDv7; taken in any case, given in lower case */ job_id: string; };
    query: undefined;
    body: undefined;
    reply: Job;
  };
/** Erase what a job that ended was given and made */ "jobs.wipe": {
    params: { /** UUIDv7; taken in any case, given in lower case */ job_id: string; };
    query: undefined;
    body: undefined;
    reply: JobRemains;
  };
/** Where a job stands */ "jobs.status": {
    params: { /** UUIDv7; taken in any case, given in lower case */ job_id: string; };
    query: { wait_seconds?: number | undefined; };
    body: undefined;
    reply: JobStatusView;
  };
/** Server-sent events of a job */ "jobs.events": {
    params: { /** UUIDv7; taken in any case, given in lower case */ job_id: string; };
    query: undefined;
    body: undefined;
    reply: JobEvent | undefined;
  };
/** Cancel a job that has not ended */ "jobs.cancel": {
    params: { /** UUIDv7; taken in any case, given in lower case */ job_id: string; };
    query: undefined;
    body: undefined;
    reply: Job;
  };
/** The receipts of a job */ "jobs.receipts": {
    params: { /** UUIDv7; taken in any case, given in lower case */ job_id: string; };
    query: undefined;
    body: undefined;
    reply: { items: (Receipt)[]; };
  };
/** Public list of receipts */ "jobs.public_receipts": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
/** Only that of this job */ job_id?: string | undefined; };
    body: undefined;
    reply: { items: (PublicReceipt)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Check a receipt */ "jobs.verify_receipt": {
    params: undefined;
    query: undefined;
    body: { proof: string; };
    reply: { valid: boolean;
claims: ReceiptClaims | null;
reason: string | null; };
  };
/** The receipt keys, current and past */ "jobs.jwks": {
    params: undefined;
    query: undefined;
    body: undefined;
    reply: { keys: ({ kty: "OKP";
crv: "Ed25519";
x: string;
kid: string;
alg: "EdDSA";
use: "sig"; })[]; };
  };
/** Take work (long-poll) */ "jobs.poll": {
    params: undefined;
    query: { wait_seconds?: number | undefined;
max_jobs?: number | undefined;
/** Needed when the account has several miners */ miner_id?: string | undefined; };
    body: undefined;
    reply: { /** What deadline_at is to be compared with */ server_time: string;
items: ({ /** UUIDv7; taken in any case, given in lower case */ id: string;
job_type: "chat_completion" | "text_completion" | "llm_inference" | "embedding" | "image_generation" | "ocr" | "language_detection" | "custom";
parameters: Record<string, unknown>;
attempt: number;
/** Opaque, from GET /v1/miner/jobs */ lease: string;
/** ISO 8601, UTC */ deadline_at: string;
/** Somebody listens: send what you make to POST /v1/miner/stream while you make it */ stream: boolean; })[]; };
  };
/** Report progress */ "jobs.progress": {
    params: undefined;
    query: undefined;
    body: { /** UUIDv7; taken in any case, given in lower case */ job_id: string;
/** Opaque, from GET /v1/miner/jobs */ lease: string;
progress: number;
message?: string | undefined; };
    reply: { status: "pending" | "running" | "completed" | "failed" | "cancelled" | "expired"; };
  };
/** Pass on what a job, or up to 64, puts out, while it is made */ "jobs.stream": {
    params: undefined;
    query: undefined;
    body: JobOutput | { /** JobOutput each */ streams: (unknown)[]; };
    reply: { listening: boolean;
/** The number of the chunk that is wanted next */ seq: number; } | { items: ({ job_id: string | null;
status: number;
verdict?: { listening: boolean;
/** The number of the chunk that is wanted next */ seq: number; } | undefined;
error?: { code: ErrorCode;
/** One sentence for a person */ message: string;
details: Record<string, unknown>; } | undefined; })[]; };
  };
/** Return one result, or up to 100 */ "jobs.result": {
    params: undefined;
    query: undefined;
    body: JobResultAndNext | { /** One result each, without `next` */ results: (unknown)[]; };
    reply: { status: "pending" | "running" | "completed" | "failed" | "cancelled" | "expired";
receipt: Receipt | null;
/** What deadline_at is to be compared with */ server_time?: string | undefined;
items?: ({ /** UUIDv7; taken in any case, given in lower case */ id: string;
job_type: "chat_completion" | "text_completion" | "llm_inference" | "embedding" | "image_generation" | "ocr" | "language_detection" | "custom";
parameters: Record<string, unknown>;
attempt: number;
/** Opaque, from GET /v1/miner/jobs */ lease: string;
/** ISO 8601, UTC */ deadline_at: string;
/** Somebody listens: send what you make to POST /v1/miner/stream while you make it */ stream: boolean; })[] | undefined; } | { items: ({ job_id: string | null;
status: number;
verdict?: { status: "pending" | "running" | "completed" | "failed" | "cancelled" | "expired";
receipt: Receipt | null; } | undefined;
error?: { code: ErrorCode;
/** One sentence for a person */ message: string;
details: Record<string, unknown>; } | undefined; })[]; };
  };
/** How long the content of your jobs is kept */ "jobs.retention": {
    params: undefined;
    query: undefined;
    body: undefined;
    reply: Retention;
  };
/** Have the content of your jobs kept for less long */ "jobs.set_retention": {
    params: undefined;
    query: undefined;
    body: Retention;
    reply: Retention;
  };
/** Your jobs and what they cost, by day, type, model and key */ "jobs.usage": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
/** A day of UTC */ from?: string | undefined;
/** The last day, which counts too */ to?: string | undefined;
/** Comma list of day, job_type, model and key */ group_by?: string | undefined; };
    body: undefined;
    reply: { items: (Usage)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null;
/** Of the whole range, not of the page */ total: { /** That ended */ jobs: number;
completed: number;
failed: number;
cancelled: number;
expired: number;
/** The prices in the receipts of those that completed */ spend: number; };
/** Jobs that wait or run, and bytes of parameters and results that are kept, with how much of each there may be: what would be more is QUOTA_EXCEEDED */ now: { open_jobs: number;
open_jobs_max: number;
content_bytes: number;
content_bytes_max: number; }; };
  };
/** Chat with a model */ "jobs.chat_completions": {
    params: undefined;
    query: undefined;
    body: { /** A name of GET /v1/models; `@0.25` behind it is a price, `@free` is none */ model: string;
stream?: boolean | null | undefined;
stream_options?: { include_usage?: boolean | null | undefined; } | null | undefined;
aitbc?: DoorOptions | undefined;
/** At most 2,000 */ messages: unknown; };
    reply: { /** `chatcmpl-` and the id of the job */ id: string;
object: "chat.completion";
/** Whole seconds */ created: number;
model: string;
choices: ({  })[];
usage?: {  } | undefined;
/** Which job it was, its receipt and its price */ aitbc?: {  } | undefined; };
  };
/** Go on with a text */ "jobs.completions": {
    params: undefined;
    query: undefined;
    body: { /** A name of GET /v1/models; `@0.25` behind it is a price, `@free` is none */ model: string;
stream?: boolean | null | undefined;
stream_options?: { include_usage?: boolean | null | undefined; } | null | undefined;
aitbc?: DoorOptions | undefined;
prompt: unknown; };
    reply: { /** `cmpl-` and the id of the job */ id: string;
object: "text_completion";
/** Whole seconds */ created: number;
model: string;
choices: ({  })[];
usage?: {  } | undefined;
/** Which job it was, its receipt and its price */ aitbc?: {  } | undefined; };
  };
/** Texts as vectors */ "jobs.embeddings": {
    params: undefined;
    query: undefined;
    body: { /** A name of GET /v1/models; `@0.25` behind it is a price, `@free` is none */ model: string;
input: unknown;
/** `base64`: 32-bit floats, little-endian */ encoding_format?: "float" | "base64" | null | undefined;
aitbc?: DoorOptions | undefined; };
    reply: { object: "list";
data: ({ object: "embedding";
index: number;
embedding: (number)[] | string; })[];
model: string;
usage?: {  } | undefined;
/** Which job it was, its receipt and its price */ aitbc?: {  } | undefined; };
  };
/** What active miners offer now */ "jobs.models": {
    params: undefined;
    query: undefined;
    body: undefined;
    reply: { object: "list";
data: (OfferedModel)[]; };
  };
/** One model */ "jobs.model": {
    params: { model: string; };
    query: undefined;
    body: undefined;
    reply: OfferedModel;
  };
/** Register a miner, or change a registered one */ "miners.register": {
    params: undefined;
    query: undefined;
    body: MinerRegistration;
    reply: Miner;
  };
/** Say that a miner is alive */ "miners.heartbeat": {
    params: undefined;
    query: undefined;
    body: { /** UUIDv7; taken in any case, given in lower case */ miner_id?: string | undefined;
/** All jobs in hand. Left out, the beat is no statement about them */ inflight?: (string)[] | undefined;
/** The `attempt` of each job in `inflight`, in the same order: a job that was lost and came back is then never dropped by what is known of its earlier attempt, and an attempt that ended here is not taken for the one after it */ attempts?: (number)[] | undefined;
utilization?: number | undefined;
/** Of this process of the agent; a second one that lives under the same name is refused */ instance_id?: string | undefined;
wait_seconds?: number | undefined; };
    reply: { status: "active" | "inactive";
/** ISO 8601, UTC */ server_time: string;
cancel: (string)[];
drop: (string)[];
/** 5 while the miner has work in hand (in an account of 20 miners at most), else 13 */ next_heartbeat_seconds: number; };
  };
/** Own miners, with counters, earnings and why there is no work */ "miners.me": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined; };
    body: undefined;
    reply: { items: ({ /** UUIDv7; taken in any case, given in lower case */ id: string;
address: string;
endpoint: string | null;
capabilities: (string)[];
status: "active" | "inactive";
/** ISO 8601, UTC */ last_heartbeat: string;
name: string;
gpus: ({ model: string;
vram_gb: number;
count: number; })[];
cuda_version: string | null;
models: (string)[];
region: string | null;
/** AITBC */ price_per_job: number;
concurrency: number;
inflight: number;
reputation: number;
jobs_completed: number;
jobs_failed: number;
jobs_lost: number;
/** AITBC */ earnings: number;
/** As the agent last said */ status_note: string | null;
/** Null while it works */ idle_reason: "inactive" | "nothing_offered" | "at_capacity" | "no_matching_jobs" | null; })[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Public list of miners */ "miners.list": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
status?: "active" | "inactive" | undefined; };
    body: undefined;
    reply: { items: (PublicMiner)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Offer a GPU */ "market.register": {
    params: undefined;
    query: undefined;
    body: GpuRegistration;
    reply: GpuOffer;
  };
/** Find GPUs */ "market.list": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
available?: boolean | undefined;
/** Case, blanks and dashes do not matter: `rtx-4090` finds `RTX 4090` */ model?: string | undefined;
region?: string | undefined;
/** What this account offers */ owner_id?: string | undefined;
price_min?: number | undefined;
price_max?: number | undefined;
memory_min?: number | undefined;
sort?: "price" | "rating" | "memory" | undefined; };
    body: undefined;
    reply: { items: (GpuOffer)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** One GPU, with its booking and its price */ "market.get": {
    params: { /** UUIDv7; taken in any case, given in lower case */ gpu_id: string; };
    query: undefined;
    body: undefined;
    reply: GpuOfferDetail;
  };
/** Change price, pricing or availability */ "market.change": {
    params: { /** UUIDv7; taken in any case, given in lower case */ gpu_id: string; };
    query: undefined;
    body: { /** AITBC, at most 8 decimals */ price_per_hour?: number | undefined;
pricing?: "fixed" | "dynamic" | undefined;
available?: boolean | undefined; };
    reply: GpuOffer;
  };
/** Take a GPU off the market */ "market.withdraw": {
    params: { /** UUIDv7; taken in any case, given in lower case */ gpu_id: string; };
    query: undefined;
    body: undefined;
    reply: undefined;
  };
/** Rent a GPU */ "market.book": {
    params: { /** UUIDv7; taken in any case, given in lower case */ gpu_id: string; };
    query: undefined;
    body: { /** At least a minute; rounded to whole minutes */ duration_hours: number;
/** Now when absent; at most 30 days ahead */ start_time?: string | undefined;
/** For your own bookkeeping */ job_id?: string | undefined;
/** AITBC, at most 8 decimals */ max_price_per_hour?: number | undefined; };
    reply: Order;
  };
/** End a booking now */ "market.release": {
    params: { /** UUIDv7; taken in any case, given in lower case */ gpu_id: string; };
    query: { /** Which booking of this GPU; the one running, else the next, when absent */ order_id?: string | undefined; };
    body: undefined;
    reply: Order;
  };
/** Reviews of a GPU */ "market.reviews": {
    params: { /** UUIDv7; taken in any case, given in lower case */ gpu_id: string; };
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined; };
    body: undefined;
    reply: { items: (Review)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Review a GPU after a booking of it */ "market.review": {
    params: { /** UUIDv7; taken in any case, given in lower case */ gpu_id: string; };
    query: undefined;
    body: { rating: number;
comment?: string | undefined;
/** Which booking; the latest without a review when absent */ order_id?: string | undefined; };
    reply: Review;
  };
/** Own orders, as booker or owner; all of them for an operator */ "market.orders": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
/** `completed` is ended or settled */ status?: "pending_payment" | "active" | "ended" | "settled" | "cancelled" | "completed" | undefined; };
    body: undefined;
    reply: { items: (Order)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** One order of one’s own */ "market.order": {
    params: { /** UUIDv7; taken in any case, given in lower case */ order_id: string; };
    query: undefined;
    body: undefined;
    reply: Order;
  };
/** What a GPU model costs, and what to ask for it */ "market.pricing": {
    params: { model: string; };
    query: undefined;
    body: undefined;
    reply: ModelPricing;
  };
/** Put funds in escrow for a job of yours */ "payments.create": {
    params: undefined;
    query: undefined;
    body: PaymentRequest;
    reply: Payment;
  };
/** One payment */ "payments.get": {
    params: { /** UUIDv7; taken in any case, given in lower case */ payment_id: string; };
    query: undefined;
    body: undefined;
    reply: Payment;
  };
/** The payment of a job */ "payments.get_by_job": {
    params: { /** UUIDv7; taken in any case, given in lower case */ job_id: string; };
    query: undefined;
    body: undefined;
    reply: Payment;
  };
/** Pay the miner of a completed job */ "payments.release": {
    params: { /** UUIDv7; taken in any case, given in lower case */ payment_id: string; };
    query: undefined;
    body: { reason?: string | undefined;
/** When given, the payment must be for this job */ job_id?: string | undefined; };
    reply: Payment;
  };
/** Give the funds back to the payer */ "payments.refund": {
    params: { /** UUIDv7; taken in any case, given in lower case */ payment_id: string; };
    query: undefined;
    body: { reason: string;
/** When given, the payment must be for this job */ job_id?: string | undefined; };
    reply: Payment;
  };
/** A signed statement of a payment */ "payments.receipt": {
    params: { /** UUIDv7; taken in any case, given in lower case */ payment_id: string; };
    query: undefined;
    body: undefined;
    reply: PaymentStatement;
  };
/** What an account has */ "payments.balance": {
    params: { /** UUIDv7; taken in any case, given in lower case */ user_id: string; };
    query: undefined;
    body: undefined;
    reply: Balance;
  };
/** Credit an account from the mint */ "payments.credit": {
    params: { account_id: string | "treasury"; };
    query: undefined;
    body: CreditRequest;
    reply: Credit;
  };
/** Sealed blocks */ "payments.blocks": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
/** `oldest` walks the chain as a verifier does */ order?: "newest" | "oldest" | undefined;
/** Only this height and those above */ from_height?: number | undefined; };
    body: undefined;
    reply: { items: (Block)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** One block */ "payments.block": {
    params: { /** Its height, or its hash */ height?: number | string | undefined; };
    query: undefined;
    body: undefined;
    reply: Block;
  };
/** Transactions */ "payments.transactions": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
/** `oldest` walks the chain as a verifier does */ order?: "newest" | "oldest" | undefined;
/** A place on the ledger */ address?: string | undefined;
/** Only those of this block */ block?: number | undefined;
/** Only those of this block and the blocks above */ from_block?: number | undefined;
/** With the inclusion proof of each. A page ends early where it would take the trees of more than two of the largest blocks; `next_cursor` goes on */ proofs?: boolean | undefined; };
    body: undefined;
    reply: { items: (Transaction)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** One transaction */ "payments.transaction": {
    params: { /** SHA-256, hex; taken in any case, given in lower case */ hash: string; };
    query: undefined;
    body: undefined;
    reply: Transaction;
  };
/** The Merkle proof that a block holds a transaction */ "payments.proof": {
    params: { /** SHA-256, hex; taken in any case, given in lower case */ hash: string; };
    query: undefined;
    body: undefined;
    reply: InclusionProof;
  };
/** Addresses, the newest first */ "payments.addresses": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
kind?: "user" | "escrow" | "mint" | "platform" | "treasury" | undefined; };
    body: undefined;
    reply: { items: (LedgerAddress)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** One address with its latest transactions */ "payments.address": {
    params: { /** A place on the ledger */ address: string; };
    query: undefined;
    body: undefined;
    reply: LedgerAddressDetail;
  };
/** The keys that sign blocks and statements, current and past */ "payments.keys": {
    params: undefined;
    query: undefined;
    body: undefined;
    reply: { keys: ({ kty: "OKP";
crv: "Ed25519";
x: string;
kid: string;
alg: "EdDSA";
use: "sig"; })[]; };
  };
/** Buy AITBC with bitcoin */ "payments.exchange_create": {
    params: undefined;
    query: undefined;
    body: ExchangePaymentRequest;
    reply: ExchangePayment;
  };
/** Where a payment stands */ "payments.exchange_status": {
    params: { /** UUIDv7; taken in any case, given in lower case */ payment_id: string; };
    query: { wait_seconds?: number | undefined; };
    body: undefined;
    reply: ExchangePaymentStatus;
  };
/** Own payments with bitcoin, the newest first */ "payments.exchange_list": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
/** pending: nothing seen yet. processing: enough is on its way and waits for confirmations. underpaid: something came, less than asked. expired: the time is over and nothing came. confirmed, overpaid, late (and underpaid, once `credited` is set): credited, final */ status?: "pending" | "processing" | "confirmed" | "underpaid" | "overpaid" | "late" | "expired" | undefined; };
    body: undefined;
    reply: { items: (ExchangePaymentStatus)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** What AITBC costs in bitcoin */ "payments.exchange_rates": {
    params: undefined;
    query: undefined;
    body: undefined;
    reply: ExchangeRates;
  };
/** Credits that the Bitcoin chain took back, the newest first */ "payments.exchange_debts": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
/** open: owed. paid: taken from the account. returned: the bitcoin stands in the chain again, nothing is owed and what was taken was given back */ status?: "open" | "paid" | "returned" | undefined; };
    body: undefined;
    reply: { items: (BitcoinDebt)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Send bitcoin on the local chain */ "payments.dev_bitcoin_send": {
    params: undefined;
    query: undefined;
    body: BitcoinSendRequest;
    reply: { /** Bitcoin transaction id */ txid: string;
/** Bitcoin address */ address: string;
/** BTC */ btc_amount: number;
/** BTC */ fee_btc: number; };
  };
/** Mine blocks on the local chain */ "payments.dev_bitcoin_mine": {
    params: undefined;
    query: undefined;
    body: BitcoinMineRequest;
    reply: { height: number;
block_hashes: (string)[]; };
  };
/** Give tokens to another account */ "payments.transfer": {
    params: undefined;
    query: undefined;
    body: TransferRequest;
    reply: Transfer;
  };
/** What went in and out of your account, with the running balance */ "payments.statement": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
format?: "json" | "csv" | undefined; };
    body: undefined;
    reply: { items: (StatementEntry)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Make a proposal */ "governance.propose": {
    params: undefined;
    query: undefined;
    body: ProposalDraft;
    reply: Proposal;
  };
/** Proposals, newest first */ "governance.list": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
status?: "active" | "passed" | "rejected" | "queued" | "executed" | "cancelled" | "execution_failed" | undefined;
type?: "parameter_change" | "fund_allocation" | "policy_change" | "protocol_upgrade" | undefined; };
    body: undefined;
    reply: { items: (Proposal)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** One proposal with its tally */ "governance.get": {
    params: { /** UUIDv7; taken in any case, given in lower case */ proposal_id: string; };
    query: undefined;
    body: undefined;
    reply: Proposal;
  };
/** Cancel a proposal before it is executed */ "governance.cancel": {
    params: { /** UUIDv7; taken in any case, given in lower case */ proposal_id: string; };
    query: undefined;
    body: undefined;
    reply: Proposal;
  };
/** The votes that the tally is the sum of, newest first */ "governance.votes": {
    params: { /** UUIDv7; taken in any case, given in lower case */ proposal_id: string; };
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
/** The vote of this account alone */ voter_id?: string | undefined; };
    body: undefined;
    reply: { items: (Vote)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Stop a passed proposal within its timelock */ "governance.veto": {
    params: { /** UUIDv7; taken in any case, given in lower case */ proposal_id: string; };
    query: undefined;
    body: Veto;
    reply: Proposal;
  };
/** Vote, or change your vote, until the deadline */ "governance.vote": {
    params: undefined;
    query: undefined;
    body: VoteCast;
    reply: Vote;
  };
/** Voting power now, or at the snapshot of a proposal */ "governance.votingPower": {
    params: { /** UUIDv7; taken in any case, given in lower case */ user_id: string; };
    query: { /** UUIDv7; taken in any case, given in lower case */ proposal_id?: string | undefined; };
    body: undefined;
    reply: VotingPower;
  };
/** Everything a vote can change, with bounds and who changed it */ "governance.parameters": {
    params: undefined;
    query: undefined;
    body: undefined;
    reply: { items: (GovernedParameter)[]; };
  };
/** Every value a parameter was given, by whom and why, newest first */ "governance.parameter_history": {
    params: { name: "platform_fee_basis_points" | "escrow_timeout_seconds" | "block_interval_seconds" | "heartbeat_timeout_seconds" | "default_max_attempts" | "account_open_jobs_max" | "account_content_megabytes_max" | "supported_job_types" | "rate_limit_client_per_minute" | "rate_limit_miner_per_minute" | "rate_limit_user_per_minute" | "min_proposal_voting_power" | "timelock_seconds" | "quorum_floor" | "approval_threshold" | "guardian_enabled"; };
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined; };
    body: undefined;
    reply: { items: (ParameterChanged)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Set a parameter to its default */ "governance.reset_parameter": {
    params: { name: "platform_fee_basis_points" | "escrow_timeout_seconds" | "block_interval_seconds" | "heartbeat_timeout_seconds" | "default_max_attempts" | "account_open_jobs_max" | "account_content_megabytes_max" | "supported_job_types" | "rate_limit_client_per_minute" | "rate_limit_miner_per_minute" | "rate_limit_user_per_minute" | "min_proposal_voting_power" | "timelock_seconds" | "quorum_floor" | "approval_threshold" | "guardian_enabled"; };
    query: undefined;
    body: ParameterReset;
    reply: GovernedParameter;
  };
/** Execute a queued proposal now */ "governance.execute": {
    params: { /** UUIDv7; taken in any case, given in lower case */ proposal_id: string; };
    query: undefined;
    body: undefined;
    reply: Execution;
  };
/** Ask for a message to sign in with */ "gateway.challenge": {
    params: undefined;
    query: undefined;
    body: { /** Ethereum address; any case is the same wallet */ wallet_address: string;
chain_id?: number | undefined; };
    reply: { message: string;
nonce: string;
/** ISO 8601, UTC */ expires_at: string; };
  };
/** Sign in with a signed message */ "gateway.login": {
    params: undefined;
    query: undefined;
    body: { /** Ethereum address; any case is the same wallet */ wallet_address: string;
message: string;
signature: string; };
    reply: { /** UUIDv7; taken in any case, given in lower case */ user_id: string;
/** Ethereum address; any case is the same wallet */ wallet_address: string;
session_token: string;
/** ISO 8601, UTC */ expires_at: string; };
  };
/** End this session, or all of them */ "gateway.logout": {
    params: undefined;
    query: { all?: boolean | undefined; };
    body: undefined;
    reply: { sessions_ended: number; };
  };
/** Who this credential stands for */ "gateway.me": {
    params: undefined;
    query: undefined;
    body: undefined;
    reply: { /** UUIDv7; taken in any case, given in lower case */ user_id: string;
wallet_address: string | null;
scopes: ("client" | "miner" | "admin" | "user" | "trade" | "vote")[];
/** ISO 8601, UTC */ created_at: string;
/** Open ones; shown to sessions only */ sessions: (Session)[]; };
  };
/** End one of your sessions */ "gateway.end_session": {
    params: { /** UUIDv7; taken in any case, given in lower case */ session_id: string; };
    query: undefined;
    body: undefined;
    reply: { sessions_ended: number; };
  };
/** List own API keys */ "gateway.list_api_keys": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
/** true: neither revoked nor expired */ active?: boolean | undefined; };
    body: undefined;
    reply: { items: (ApiKey)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Make an API key */ "gateway.create_api_key": {
    params: undefined;
    query: undefined;
    body: { scopes: ("client" | "miner" | "trade" | "vote")[];
label: string;
/** From then on the key is refused */ expires_at?: string | undefined;
/** AITBC, at most 8 decimals */ spend_cap?: number | undefined;
/** For a key with `trade`: what it may transfer in one day of UTC */ daily_transfer_cap?: number | undefined;
/** What a request to OpenAI's routes pays when it names no price itself: for programs that can set no more than address, key and model */ default_price?: number | undefined; };
    reply: ApiKeyCreated;
  };
/** Replace an API key; the old one works on for a while */ "gateway.rotate_api_key": {
    params: { /** UUIDv7; taken in any case, given in lower case */ key_id: string; };
    query: undefined;
    body: { /** How long the old key works on */ overlap_seconds?: number | undefined; };
    reply: ApiKeyCreated;
  };
/** Revoke an API key, effective everywhere within 5 s */ "gateway.revoke_api_key": {
    params: { /** UUIDv7; taken in any case, given in lower case */ key_id: string; };
    query: undefined;
    body: undefined;
    reply: ApiKey;
  };
/** List API keys of all accounts */ "gateway.admin_list_api_keys": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
/** true: neither revoked nor expired */ active?: boolean | undefined;
/** UUIDv7; taken in any case, given in lower case */ account_id?: string | undefined; };
    body: undefined;
    reply: { items: (ApiKey)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Make an API key for any account */ "gateway.admin_create_api_key": {
    params: undefined;
    query: undefined;
    body: { /** UUIDv7; taken in any case, given in lower case */ account_id?: string | undefined;
scopes: ("client" | "miner" | "admin" | "trade" | "vote")[];
label: string;
/** From then on the key is refused */ expires_at?: string | undefined;
/** AITBC, at most 8 decimals */ spend_cap?: number | undefined;
/** For a key with `trade`: what it may transfer in one day of UTC */ daily_transfer_cap?: number | undefined;
/** What a request to OpenAI's routes pays when it names no price itself: for programs that can set no more than address, key and model */ default_price?: number | undefined;
rate_limit_per_minute?: number | undefined; };
    reply: ApiKeyCreated;
  };
/** Replace any API key that was made here */ "gateway.admin_rotate_api_key": {
    params: { /** UUIDv7; taken in any case, given in lower case */ key_id: string; };
    query: undefined;
    body: { /** How long the old key works on */ overlap_seconds?: number | undefined; };
    reply: ApiKeyCreated;
  };
/** Revoke any API key */ "gateway.admin_revoke_api_key": {
    params: { /** UUIDv7; taken in any case, given in lower case */ key_id: string; };
    query: undefined;
    body: undefined;
    reply: ApiKey;
  };
/** How the whole coordinator is doing */ "gateway.admin_stats": {
    params: undefined;
    query: undefined;
    body: undefined;
    reply: { accounts: number;
/** Neither revoked nor expired */ api_keys: number;
sessions: number;
/** Null: jobs does not answer */ active_jobs: number | null;
registered_miners: number | null;
services: ({ service: "jobs" | "miners" | "market" | "payments" | "governance" | "gateway";
ok: boolean;
dependencies: Record<string, { ok: boolean;
required: boolean;
message: string | null; }>;
dead_letters: number | null;
outbox_unacknowledged: number | null; })[];
/** What waits in Redis for each service and worker, in batches of messages. Null: Redis does not answer */ mailboxes: ({ destination: "jobs" | "miners" | "market" | "payments" | "governance" | "gateway" | "dispatcher" | "webhooks";
waiting: number;
active: number;
delayed: number;
/** Given up by the queue; the sender says them again */ failed: number;
/** Connections of processes that empty it */ workers: number; })[] | null; };
  };
/** Messages that could not be handled, of all services */ "gateway.admin_dead_letters": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
service?: "jobs" | "miners" | "market" | "payments" | "governance" | "gateway" | undefined; };
    body: undefined;
    reply: { items: (DeadLetter)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null;
/** Services that did not answer */ unavailable: ("jobs" | "miners" | "market" | "payments" | "governance" | "gateway")[]; };
  };
/** Try a dead letter again, or drop it */ "gateway.admin_act_on_dead_letter": {
    params: undefined;
    query: undefined;
    body: { service: "jobs" | "miners" | "market" | "payments" | "governance" | "gateway";
id: string;
action: "replay" | "drop"; };
    reply: { service: "jobs" | "miners" | "market" | "payments" | "governance" | "gateway";
id: string;
action: "replay" | "drop"; };
  };
/** Have events of your account sent to an address */ "gateway.create_webhook": {
    params: undefined;
    query: undefined;
    body: WebhookRequest;
    reply: WebhookCreated;
  };
/** Your webhooks */ "gateway.list_webhooks": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined; };
    body: undefined;
    reply: { items: (Webhook)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** One webhook */ "gateway.get_webhook": {
    params: { /** UUIDv7; taken in any case, given in lower case */ webhook_id: string; };
    query: undefined;
    body: undefined;
    reply: Webhook;
  };
/** Change a webhook, switch it off or on again */ "gateway.change_webhook": {
    params: { /** UUIDv7; taken in any case, given in lower case */ webhook_id: string; };
    query: undefined;
    body: WebhookChange;
    reply: Webhook;
  };
/** Delete a webhook, with its deliveries */ "gateway.delete_webhook": {
    params: { /** UUIDv7; taken in any case, given in lower case */ webhook_id: string; };
    query: undefined;
    body: undefined;
    reply: Webhook;
  };
/** A new secret; the old one is good for a while */ "gateway.rotate_webhook_secret": {
    params: { webhook_id: string | "callbacks"; };
    query: undefined;
    body: { /** How long the old secret is good */ overlap_seconds?: number | undefined; };
    reply: WebhookSecret;
  };
/** What was sent, and what came of it */ "gateway.list_webhook_deliveries": {
    params: { /** UUIDv7; taken in any case, given in lower case */ webhook_id: string; };
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
/** `failed`: given up, after a day of tries or because the endpoint was switched off */ status?: "waiting" | "calling" | "delivered" | "failed" | undefined; };
    body: undefined;
    reply: { items: (WebhookDelivery)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** Send a delivery again, or at once */ "gateway.redeliver_webhook": {
    params: { /** UUIDv7; taken in any case, given in lower case */ webhook_id: string;
/** UUIDv7; taken in any case, given in lower case */ delivery_id: string; };
    query: undefined;
    body: undefined;
    reply: WebhookDelivery;
  };
/** What was done with keys, money, votes, parameters, messages and contents */ "gateway.admin_audit": {
    params: undefined;
    query: { /** Items per page, 1–500 */ limit?: number | undefined;
/** `next_cursor` of the page before */ cursor?: string | undefined;
action?: "key.created" | "key.rotated" | "key.revoked" | "key.restored" | "account.credited" | "proposal.vetoed" | "parameter.reset" | "dead_letter.replayed" | "dead_letter.dropped" | "job.wiped" | undefined;
/** Done to what is this account’s */ account_id?: string | undefined;
/** Done by this account */ actor_id?: string | undefined; };
    body: undefined;
    reply: { items: (AuditEntry)[];
/** Null on the last page alone: a page ends at `limit` items or 256 KB */ next_cursor: string | null; };
  };
/** All that is the account’s, as lines of JSON */ "gateway.export": {
    params: undefined;
    query: undefined;
    body: undefined;
    reply: ExportLine;
  };
}

export const operations: Readonly<Record<keyof Operations, { method: string; path: string; idempotent: boolean }>> = {
  "jobs.submit": { method: "POST", path: "/v1/client/jobs", idempotent: true },
  "jobs.submit_batch": { method: "POST", path: "/v1/client/jobs/batch", idempotent: true },
  "jobs.list": { method: "GET", path: "/v1/client/jobs", idempotent: false },
  "jobs.get": { method: "GET", path: "/v1/client/jobs/:job_id", idempotent: false },
  "jobs.status": { method: "GET", path: "/v1/client/jobs/:job_id/status", idempotent: false },
  "jobs.events": { method: "GET", path: "/v1/client/jobs/:job_id/events", idempotent: false },
  "jobs.cancel": { method: "POST", path: "/v1/client/jobs/:job_id/cancel", idempotent: true },
  "jobs.wipe": { method: "DELETE", path: "/v1/client/jobs/:job_id", idempotent: false },
  "jobs.receipts": { method: "GET", path: "/v1/client/jobs/:job_id/receipts", idempotent: false },
  "jobs.public_receipts": { method: "GET", path: "/v1/explorer/receipts", idempotent: false },
  "jobs.verify_receipt": { method: "POST", path: "/v1/receipts/verify", idempotent: false },
  "jobs.jwks": { method: "GET", path: "/.well-known/jwks.json", idempotent: false },
  "jobs.poll": { method: "GET", path: "/v1/miner/jobs", idempotent: false },
  "jobs.progress": { method: "POST", path: "/v1/miner/progress", idempotent: false },
  "jobs.stream": { method: "POST", path: "/v1/miner/stream", idempotent: false },
  "jobs.result": { method: "POST", path: "/v1/miner/result", idempotent: false },
  "jobs.retention": { method: "GET", path: "/v1/users/me/retention", idempotent: false },
  "jobs.set_retention": { method: "PATCH", path: "/v1/users/me/retention", idempotent: false },
  "jobs.usage": { method: "GET", path: "/v1/users/me/usage", idempotent: false },
  "jobs.chat_completions": { method: "POST", path: "/v1/chat/completions", idempotent: false },
  "jobs.completions": { method: "POST", path: "/v1/completions", idempotent: false },
  "jobs.embeddings": { method: "POST", path: "/v1/embeddings", idempotent: false },
  "jobs.models": { method: "GET", path: "/v1/models", idempotent: false },
  "jobs.model": { method: "GET", path: "/v1/models/:model", idempotent: false },
  "miners.register": { method: "POST", path: "/v1/miner/register", idempotent: false },
  "miners.heartbeat": { method: "POST", path: "/v1/miner/heartbeat", idempotent: false },
  "miners.me": { method: "GET", path: "/v1/miner/me", idempotent: false },
  "miners.list": { method: "GET", path: "/v1/miners", idempotent: false },
  "market.register": { method: "POST", path: "/v1/marketplace/gpu/register", idempotent: true },
  "market.list": { method: "GET", path: "/v1/marketplace/gpu/list", idempotent: false },
  "market.get": { method: "GET", path: "/v1/marketplace/gpu/:gpu_id", idempotent: false },
  "market.change": { method: "PATCH", path: "/v1/marketplace/gpu/:gpu_id", idempotent: false },
  "market.withdraw": { method: "DELETE", path: "/v1/marketplace/gpu/:gpu_id", idempotent: false },
  "market.book": { method: "POST", path: "/v1/marketplace/gpu/:gpu_id/book", idempotent: true },
  "market.release": { method: "POST", path: "/v1/marketplace/gpu/:gpu_id/release", idempotent: true },
  "market.reviews": { method: "GET", path: "/v1/marketplace/gpu/:gpu_id/reviews", idempotent: false },
  "market.review": { method: "POST", path: "/v1/marketplace/gpu/:gpu_id/reviews", idempotent: true },
  "market.orders": { method: "GET", path: "/v1/marketplace/orders", idempotent: false },
  "market.order": { method: "GET", path: "/v1/marketplace/orders/:order_id", idempotent: false },
  "market.pricing": { method: "GET", path: "/v1/marketplace/pricing/:model", idempotent: false },
  "payments.create": { method: "POST", path: "/v1/payments", idempotent: true },
  "payments.get": { method: "GET", path: "/v1/payments/:payment_id", idempotent: false },
  "payments.get_by_job": { method: "GET", path: "/v1/jobs/:job_id/payment", idempotent: false },
  "payments.release": { method: "POST", path: "/v1/payments/:payment_id/release", idempotent: true },
  "payments.refund": { method: "POST", path: "/v1/payments/:payment_id/refund", idempotent: true },
  "payments.receipt": { method: "GET", path: "/v1/payments/:payment_id/receipt", idempotent: false },
  "payments.balance": { method: "GET", path: "/v1/users/:user_id/balance", idempotent: false },
  "payments.credit": { method: "POST", path: "/v1/admin/accounts/:account_id/credit", idempotent: true },
  "payments.blocks": { method: "GET", path: "/v1/explorer/blocks", idempotent: false },
  "payments.block": { method: "GET", path: "/v1/explorer/blocks/:height", idempotent: false },
  "payments.transactions": { method: "GET", path: "/v1/explorer/transactions", idempotent: false },
  "payments.transaction": { method: "GET", path: "/v1/explorer/transactions/:hash", idempotent: false },
  "payments.proof": { method: "GET", path: "/v1/explorer/transactions/:hash/proof", idempotent: false },
  "payments.addresses": { method: "GET", path: "/v1/explorer/addresses", idempotent: false },
  "payments.address": { method: "GET", path: "/v1/explorer/addresses/:address", idempotent: false },
  "payments.keys": { method: "GET", path: "/v1/explorer/keys", idempotent: false },
  "payments.exchange_create": { method: "POST", path: "/v1/exchange/create-payment", idempotent: true },
  "payments.exchange_status": { method: "GET", path: "/v1/exchange/payment-status/:payment_id", idempotent: false },
  "payments.exchange_list": { method: "GET", path: "/v1/exchange/payments", idempotent: false },
  "payments.exchange_rates": { method: "GET", path: "/v1/exchange/rates", idempotent: false },
  "payments.exchange_debts": { method: "GET", path: "/v1/admin/debts", idempotent: false },
  "payments.dev_bitcoin_send": { method: "POST", path: "/v1/dev/bitcoin/send", idempotent: true },
  "payments.dev_bitcoin_mine": { method: "POST", path: "/v1/dev/bitcoin/mine", idempotent: true },
  "payments.transfer": { method: "POST", path: "/v1/transfers", idempotent: true },
  "payments.statement": { method: "GET", path: "/v1/users/me/transactions", idempotent: false },
  "governance.propose": { method: "POST", path: "/v1/governance/proposals", idempotent: true },
  "governance.list": { method: "GET", path: "/v1/governance/proposals", idempotent: false },
  "governance.get": { method: "GET", path: "/v1/governance/proposals/:proposal_id", idempotent: false },
  "governance.votes": { method: "GET", path: "/v1/governance/proposals/:proposal_id/votes", idempotent: false },
  "governance.cancel": { method: "DELETE", path: "/v1/governance/proposals/:proposal_id", idempotent: false },
  "governance.veto": { method: "POST", path: "/v1/governance/proposals/:proposal_id/veto", idempotent: true },
  "governance.vote": { method: "POST", path: "/v1/governance/vote", idempotent: true },
  "governance.votingPower": { method: "GET", path: "/v1/governance/voting-power/:user_id", idempotent: false },
  "governance.parameters": { method: "GET", path: "/v1/governance/parameters", idempotent: false },
  "governance.parameter_history": { method: "GET", path: "/v1/governance/parameters/:name/history", idempotent: false },
  "governance.reset_parameter": { method: "POST", path: "/v1/admin/parameters/:name/reset", idempotent: true },
  "governance.execute": { method: "POST", path: "/v1/governance/execute/:proposal_id", idempotent: true },
  "gateway.challenge": { method: "POST", path: "/v1/users/challenge", idempotent: false },
  "gateway.login": { method: "POST", path: "/v1/users/login", idempotent: false },
  "gateway.logout": { method: "POST", path: "/v1/users/logout", idempotent: false },
  "gateway.me": { method: "GET", path: "/v1/users/me", idempotent: false },
  "gateway.end_session": { method: "DELETE", path: "/v1/users/me/sessions/:session_id", idempotent: false },
  "gateway.list_api_keys": { method: "GET", path: "/v1/users/me/api-keys", idempotent: false },
  "gateway.create_api_key": { method: "POST", path: "/v1/users/me/api-keys", idempotent: false },
  "gateway.rotate_api_key": { method: "POST", path: "/v1/users/me/api-keys/:key_id/rotate", idempotent: false },
  "gateway.revoke_api_key": { method: "DELETE", path: "/v1/users/me/api-keys/:key_id", idempotent: false },
  "gateway.admin_list_api_keys": { method: "GET", path: "/v1/admin/api-keys", idempotent: false },
  "gateway.admin_create_api_key": { method: "POST", path: "/v1/admin/api-keys", idempotent: false },
  "gateway.admin_rotate_api_key": { method: "POST", path: "/v1/admin/api-keys/:key_id/rotate", idempotent: false },
  "gateway.admin_revoke_api_key": { method: "DELETE", path: "/v1/admin/api-keys/:key_id", idempotent: false },
  "gateway.admin_stats": { method: "GET", path: "/v1/admin/stats", idempotent: false },
  "gateway.admin_dead_letters": { method: "GET", path: "/v1/admin/dead-letters", idempotent: false },
  "gateway.admin_act_on_dead_letter": { method: "POST", path: "/v1/admin/dead-letters", idempotent: false },
  "gateway.create_webhook": { method: "POST", path: "/v1/users/me/webhooks", idempotent: false },
  "gateway.list_webhooks": { method: "GET", path: "/v1/users/me/webhooks", idempotent: false },
  "gateway.get_webhook": { method: "GET", path: "/v1/users/me/webhooks/:webhook_id", idempotent: false },
  "gateway.change_webhook": { method: "PATCH", path: "/v1/users/me/webhooks/:webhook_id", idempotent: false },
  "gateway.delete_webhook": { method: "DELETE", path: "/v1/users/me/webhooks/:webhook_id", idempotent: false },
  "gateway.rotate_webhook_secret": { method: "POST", path: "/v1/users/me/webhooks/:webhook_id/rotate-secret", idempotent: false },
  "gateway.list_webhook_deliveries": { method: "GET", path: "/v1/users/me/webhooks/:webhook_id/deliveries", idempotent: false },
  "gateway.redeliver_webhook": { method: "POST", path: "/v1/users/me/webhooks/:webhook_id/deliveries/:delivery_id/redeliver", idempotent: true },
  "gateway.admin_audit": { method: "GET", path: "/v1/admin/audit", idempotent: false },
  "gateway.export": { method: "GET", path: "/v1/users/me/export", idempotent: false },
};

export const LIMITS = {
  /** Jobs in one batch. */
  batchItems: 1000,
  batchBytes: 4194304,
  /** Longest that a long-poll is held. */
  waitSeconds: 25,
} as const;
