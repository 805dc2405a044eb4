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

export interface Tables {
  account: AccountTable;
  api_key: ApiKeyTable;
  session: SessionTable;
  nonce: NonceTable;
}
