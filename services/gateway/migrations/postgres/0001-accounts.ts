import { type Kysely, sql } from 'kysely';

/** In the order of its bytes, as SQLite has it. */
const TEXT = 'TEXT COLLATE "C"';

const statements = [
  // How many a JSON list has; 0 when it is none.
  `CREATE FUNCTION json_length(value text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
     BEGIN
       RETURN json_array_length(value::json);
     EXCEPTION WHEN data_exception THEN RETURN 0;
     END $$`,
  `CREATE TABLE account (
     id ${TEXT} PRIMARY KEY,
     wallet_address ${TEXT} UNIQUE CHECK (length(wallet_address) = 42),
     created_at_ms BIGINT NOT NULL
   )`,
  `CREATE TABLE api_key (
     id ${TEXT} PRIMARY KEY,
     account_id ${TEXT} NOT NULL REFERENCES account (id),
     key_sha256 ${TEXT} NOT NULL UNIQUE CHECK (length(key_sha256) = 43),
     prefix ${TEXT} NOT NULL CHECK (length(prefix) <= 12),
     label ${TEXT} CHECK (length(label) BETWEEN 1 AND 100),
     scopes ${TEXT} NOT NULL CHECK (json_length(scopes) > 0),
     source ${TEXT} NOT NULL CHECK (source IN ('environment', 'user', 'admin')),
     created_at_ms BIGINT NOT NULL,
     last_used_at_ms BIGINT,
     expires_at_ms BIGINT,
     revoked_at_ms BIGINT,
     revoked_by ${TEXT} CHECK (revoked_by IN ('configuration', 'account', 'operator')),
     rate_limit_per_minute BIGINT CHECK (rate_limit_per_minute > 0),
     spend_cap_minor BIGINT CHECK (spend_cap_minor > 0),
     replaces ${TEXT} REFERENCES api_key (id),
     CHECK ((revoked_at_ms IS NULL) = (revoked_by IS NULL)),
     CHECK (source <> 'user' OR rate_limit_per_minute IS NULL)
   )`,
  `CREATE INDEX api_key_account ON api_key (account_id, id)`,
  `CREATE TABLE session (
     id ${TEXT} PRIMARY KEY,
     account_id ${TEXT} NOT NULL REFERENCES account (id),
     token_sha256 ${TEXT} NOT NULL UNIQUE CHECK (length(token_sha256) = 43),
     created_at_ms BIGINT NOT NULL,
     last_used_at_ms BIGINT NOT NULL,
     expires_at_ms BIGINT NOT NULL CHECK (expires_at_ms > created_at_ms)
   )`,
  `CREATE INDEX session_account ON session (account_id, id)`,
  `CREATE INDEX session_age ON session (last_used_at_ms)`,
  `CREATE TABLE nonce (
     nonce ${TEXT} PRIMARY KEY,
     wallet_address ${TEXT} NOT NULL,
     chain_id BIGINT NOT NULL CHECK (chain_id > 0),
     domain ${TEXT} NOT NULL,
     expires_at_ms BIGINT NOT NULL
   )`,
  `CREATE INDEX nonce_age ON nonce (expires_at_ms)`,
];

export const create = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
