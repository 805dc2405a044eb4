import { z } from 'zod';
import { Id } from './ids.ts';
import { Minor } from './money.ts';

/**
 * What a credential may do. A session is `user` and has all rights of its account. A key has what it was made for:
 * `vote` (proposals and votes with the account's tokens) and `trade` (transfers, bookings beyond the key's own cap) are
 * never among it unasked, for both reach everything that the account holds.
 */
export const Scope = z.enum(['client', 'miner', 'admin', 'user', 'trade', 'vote']);
export type Scope = z.infer<typeof Scope>;

/**
 * Who is calling, as the gateway found out. Travels to the services in one signed header (chassis/caller).
 * A key is not an identity: everything owned belongs to `account_id`.
 */
export const Caller = z.strictObject({
  account_id: Id,
  /** The session used, or the API key: of a rotated one the first, so that spend and limits go on. Null for nobody. */
  credential_id: Id.nullable(),
  scopes: z.array(Scope),
  wallet_address: z.string().nullable(),
  /** What this key may have spent in total, in minor units; null for no cap. Payments obeys it. */
  spend_cap_minor: Minor.nullable(),
  /** What this key may transfer in one day of UTC, in minor units; left out for no cap. Payments obeys it. */
  transfer_cap_minor: Minor.optional(),
  /** What a request to a model pays that names no price; left out for nothing. Jobs obeys it. */
  default_price_minor: Minor.optional(),
});
export type Caller = z.infer<typeof Caller>;
