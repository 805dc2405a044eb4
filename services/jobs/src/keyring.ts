import type { Store } from '@aitbc/chassis';
import type { ReceiptClaims } from '@aitbc/contracts';
import { createSigner, type PublicJwk, type Signer, toJwk } from './receipts.ts';
import { ownSigningKey, receiptKeys, rememberKey } from './store/receipts.ts';

/** The key that signs receipts now, and every one that ever did. Loaded at the start. */
export const createKeyring = () => {
  let signer: Signer | undefined;
  let jwks: PublicJwk[] = [];
  let shared: Store | undefined;
  const readAll = async (store: Store): Promise<PublicJwk[]> =>
    (await receiptKeys(store.read)).map((key) => toJwk(key.x));
  const current = (): Signer => {
    if (signer === undefined) throw new Error('the signing key is not loaded yet');
    return signer;
  };
  return {
    /** @param given RECEIPT_SIGNING_KEY; without it, one is made and kept in the file. */
    load: async (store: Store, given: string | undefined): Promise<void> => {
      const nowMs = Date.now();
      signer = await store.transact('jobs.signing_key', async (trx) => {
        const current = createSigner(given ?? (await ownSigningKey(trx, createSigner, nowMs)));
        await rememberKey(trx, current, nowMs);
        return current;
      });
      jwks = await readAll(store);
      if (store.isShared) shared = store;
    },
    sign: (claims: ReceiptClaims): string => current().sign(claims),
    /** Under the current key, which is named by its public half. */
    signBytes: (bytes: Buffer): { key_id: string; sig: string } => current().signBytes(bytes),
    /** Where several processes sign, one that started later may do so with another key: so they are read each time. */
    jwks: async (): Promise<PublicJwk[]> => (shared === undefined ? jwks : readAll(shared)),
  };
};
export type Keyring = ReturnType<typeof createKeyring>;
