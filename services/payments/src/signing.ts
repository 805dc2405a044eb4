import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { builder, ConfigError, type Reader, type Store, type Trx } from '@aitbc/chassis';
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

const publish = (trx: Trx, kid: string, x: string, kept: string | null) =>
  trx.run(
    db
      .insertInto('signing_key')
      .values({ kid, x, private_pkcs8: kept, created_at_ms: Date.now() })
      .onConflict((conflict) => conflict.column('kid').doNothing()),
  );

const publicPart = (key: KeyObject): { x: string; kid: string } => {
  const { x } = createPublicKey(key).export({ format: 'jwk' }) as { x: string };
  return { x, kid: keyId(x) };
};

/** The key that was made and kept before, or else one that is: of processes that start at once, all get the same. */
const keptKey = (store: Store): Promise<string> =>
  store.transact('signing_key.make', async (trx) => {
    const row = await trx.get(
      db
        .selectFrom('signing_key')
        .select('private_pkcs8')
        .where('private_pkcs8', 'is not', null)
        .orderBy('created_at_ms', 'desc')
        .limit(1),
    );
    if (row?.private_pkcs8 != null) return row.private_pkcs8;
    const made = generateKeyPairSync('ed25519').privateKey;
    const text = made.export({ format: 'der', type: 'pkcs8' }).toString('base64');
    const { kid, x } = publicPart(made);
    await publish(trx, kid, x, text);
    return text;
  });

/** The ledger's key: given by the environment, or in development made once and kept in the file. */
export const openSigner = async (store: Store, config: Pick<Config, 'NODE_ENV' | 'LEDGER_SIGNING_KEY'>) => {
  let key: KeyObject;
  if (config.LEDGER_SIGNING_KEY !== undefined) {
    key = readKey(config.LEDGER_SIGNING_KEY);
  } else if (config.NODE_ENV === 'production') {
    throw new ConfigError('LEDGER_SIGNING_KEY: is required in production. See .env.example.');
  } else {
    key = readKey(await keptKey(store));
  }
  const { x, kid } = publicPart(key);
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
    keep: (): Promise<number> => store.transact('signing_key.keep', (trx) => publish(trx, kid, x, null)),
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
