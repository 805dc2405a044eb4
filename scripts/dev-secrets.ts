import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export type Keys = { client: string; client2: string; miner: string; admin: string };
export type DevSecrets = { SECRET_KEY: string; RECEIPT_SIGNING_KEY: string; keys: Keys };

/** Made once for a data folder and kept in it, so that keys and receipts stay good across restarts. */
export function devSecrets(dataDir: string): DevSecrets {
  const file = join(dataDir, 'dev-secrets.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'));
  const { privateKey } = generateKeyPairSync('ed25519');
  const secrets: DevSecrets = {
    SECRET_KEY: randomBytes(32).toString('base64url'),
    RECEIPT_SIGNING_KEY: privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64'),
    keys: { client: apiKey(), client2: apiKey(), miner: apiKey(), admin: apiKey() },
  };
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  writeFileSync(file, `${JSON.stringify(secrets, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
  return secrets;
}

const apiKey = () => `ak_dev_${randomBytes(32).toString('base64url')}`;
