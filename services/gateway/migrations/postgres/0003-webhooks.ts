import { type Kysely, sql } from 'kysely';

/** In the order of its bytes, as SQLite has it. */
const TEXT = 'TEXT COLLATE "C"';

const statements = [
  `CREATE TABLE webhook (
     id ${TEXT} PRIMARY KEY,
     account_id ${TEXT} NOT NULL REFERENCES account (id),
     kind ${TEXT} NOT NULL CHECK (kind IN ('endpoint', 'callback')),
     url ${TEXT} NOT NULL,
     events ${TEXT} NOT NULL,
     description ${TEXT},
     include_result BIGINT NOT NULL CHECK (include_result IN (0, 1)),
     enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
     disabled_at_ms BIGINT,
     disabled_reason ${TEXT} CHECK (disabled_reason IN ('failing', 'gone', 'owner')),
     deleted BIGINT NOT NULL CHECK (deleted IN (0, 1)),
     at_once BIGINT NOT NULL CHECK (at_once > 0),
     failures BIGINT NOT NULL CHECK (failures >= 0),
     failing_since_ms BIGINT,
     rest_until_ms BIGINT NOT NULL,
     next_at_ms BIGINT,
     waiting BIGINT NOT NULL CHECK (waiting >= calling),
     calling BIGINT NOT NULL CHECK (calling >= 0),
     kept BIGINT NOT NULL CHECK (kept >= 0),
     skipped BIGINT NOT NULL CHECK (skipped >= 0),
     created_at_ms BIGINT NOT NULL,
     updated_at_ms BIGINT NOT NULL,
     CHECK ((enabled = 1) = (disabled_at_ms IS NULL)),
     CHECK ((disabled_at_ms IS NULL) = (disabled_reason IS NULL))
   )`,
  `CREATE INDEX webhook_account ON webhook (account_id, id)`,
  `CREATE INDEX webhook_next ON webhook (next_at_ms) WHERE next_at_ms IS NOT NULL`,
  `CREATE INDEX webhook_calling ON webhook (calling) WHERE calling > 0`,
  `CREATE INDEX webhook_kept ON webhook (kept)`,
  `CREATE INDEX webhook_off ON webhook (id) WHERE enabled = 0 AND waiting > 0`,
  `CREATE INDEX webhook_deleted ON webhook (id) WHERE deleted = 1`,
  // What a secret is made of, by the webhook that it is for, or by the account whose callbacks it signs.
  `CREATE TABLE webhook_seed (
     signer_id ${TEXT} PRIMARY KEY,
     seed ${TEXT} NOT NULL,
     previous_seed ${TEXT},
     previous_until_ms BIGINT,
     CHECK ((previous_seed IS NULL) = (previous_until_ms IS NULL))
   )`,
  // Whether the other services were told that this account has a webhook.
  `CREATE TABLE webhook_listener (
     account_id ${TEXT} PRIMARY KEY,
     revision BIGINT NOT NULL CHECK (revision > 0),
     listens BIGINT NOT NULL CHECK (listens IN (0, 1))
   )`,
  `CREATE TABLE delivery (
     id ${TEXT} PRIMARY KEY,
     webhook_id ${TEXT} NOT NULL REFERENCES webhook (id),
     event_id ${TEXT} NOT NULL,
     type ${TEXT} NOT NULL,
     object_id ${TEXT} NOT NULL,
     data ${TEXT} NOT NULL,
     at_ms BIGINT NOT NULL,
     url ${TEXT},
     status ${TEXT} NOT NULL CHECK (status IN ('waiting', 'calling', 'delivered', 'failed')),
     attempt BIGINT NOT NULL CHECK (attempt >= 0),
     failures BIGINT NOT NULL CHECK (failures >= 0),
     attempts ${TEXT} NOT NULL,
     due_at_ms BIGINT NOT NULL,
     since_ms BIGINT NOT NULL,
     ended_at_ms BIGINT,
     CHECK ((ended_at_ms IS NULL) = (status IN ('waiting', 'calling')))
   )`,
  `CREATE INDEX delivery_webhook ON delivery (webhook_id, id)`,
  `CREATE INDEX delivery_object ON delivery (webhook_id, object_id, id) WHERE ended_at_ms IS NULL`,
  `CREATE INDEX delivery_due ON delivery (webhook_id, due_at_ms, id) WHERE status = 'waiting'`,
  `CREATE INDEX delivery_calling ON delivery (due_at_ms) WHERE status = 'calling'`,
  `CREATE INDEX delivery_waiting ON delivery (since_ms) WHERE status = 'waiting'`,
  `CREATE INDEX delivery_ended ON delivery (ended_at_ms) WHERE ended_at_ms IS NOT NULL`,
  // What is everybody's, on its way to all who listen.
  `CREATE TABLE webhook_broadcast (
     event_id ${TEXT} PRIMARY KEY,
     type ${TEXT} NOT NULL,
     object_id ${TEXT} NOT NULL,
     data ${TEXT} NOT NULL,
     at_ms BIGINT NOT NULL,
     after_id ${TEXT} NOT NULL
   )`,
];

export const up = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
