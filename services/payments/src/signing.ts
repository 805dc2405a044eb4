import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { builder, ConfigError, type Reader, type Store } from '@aitbc/chassis';
import { keyId } from '@aitbc/contracts';
import type { Config } from './config.ts';
import type { Tables } from './tables.ts';

const db = builder<Tables>();

const readKey = (base64: string): KeyObject => {
  try {
    const key = createPrivateKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'pkcs8' });
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Said below, without the library's words: they may quote the key.
  }
  throw new ConfigError('LEDGER_SIGNING_KEY: must be an Ed25519 private key, PKCS #8 DER in base64');
};

/** The ledger's key: given by the environment, or in development made once and kept in the file. */
export const openSigner = async (read: Reader, config: Pick<Config, 'NODE_ENV' | 'LEDGER_SIGNING_KEY'>) => {
  let kept: string | null = null;
  let key: KeyObject;
  if (config.LEDGER_SIGNING_KEY !== undefined) {
    key = readKey(config.LEDGER_SIGNING_KEY);
  } else if (config.NODE_ENV === 'production') {
    throw new ConfigError('LEDGER_SIGNING_KEY: is required in production. See .env.example.');
  } else {
    const row = await read.get(
      db
        .selectFrom('signing_key')
        .select('private_pkcs8')
        .where('private_pkcs8', 'is not', null)
        .orderBy('created_at_ms', 'desc')
        .limit(1),
    );
    kept =
      row?.private_pkcs8 ??
      generateKeyPairSync('ed25519').privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
    key = readKey(kept);
  }
  const { x } = createPublicKey(key).export({ format: 'jwk' }) as { x: string };
  const kid = keyId(x);
  const header = Buffer.from(JSON.stringify({ alg: 'EdDSA', kid, typ: 'JWT' })).toString('base64url');

  return {
    kid,
    /** @returns the Ed25519 signature, base64url. */
    sign: (bytes: Buffer): string => sign(null, bytes, key).toString('base64url'),
    /** A compact JWS (RFC 7515) over `claims`. */
    jws: (claims: object): string => {
      const input = `${header}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
      return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`;
    },
    /** Publishes the key, for ever: what it signed must stay checkable. Before the first block. */
    keep: (store: Store): Promise<void> =>
      store.transact('signing_key.keep', async (trx) => {
        await trx.run(
          db
            .insertInto('signing_key')
            .values({ kid, x, private_pkcs8: kept, created_at_ms: Date.now() })
            .onConflict((conflict) => conflict.column('kid').doNothing()),
        );
      }),
  };
};
export type Signer = Awaited<ReturnType<typeof openSigner>>;

/** All keys that ever signed, the newest first. */
export const publishedKeys = async (read: Reader) =>
  (await read.all(db.selectFrom('signing_key').select(['kid', 'x']).orderBy('created_at_ms', 'desc'))).map(
    ({ kid, x }) => ({
      kty: 'OKP' as const,
      crv: 'Ed25519' as const,
      x,
      kid,
      alg: 'EdDSA' as const,
      use: 'sig' as const,
    }),
  );
