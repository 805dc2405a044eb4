import { spawnSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';

type Fields = Record<string, unknown>;

const PYTHON = `
import json, sys
def strip(value):
    if isinstance(value, dict):
        return {k: strip(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [strip(v) for v in value if v is not None]
    return value
print(json.dumps(strip(json.load(sys.stdin)), separators=(",", ":"), sort_keys=True))
`;

/** The same by its rules, for machines without Python: what is signed is ASCII, and its names are. */
const byTheRules = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.filter((item) => item !== null).map(byTheRules)}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== null);
  return `{${members
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${byTheRules(member)}`)}}`;
};

const python = spawnSync('python3', ['--version']).status === 0;

/** As the Python client of the original writes what is signed: with Python itself where it is. */
const canonical = (document: Fields): string => {
  if (!python) return byTheRules(document);
  const { stdout } = spawnSync('python3', ['-c', PYTHON], {
    input: JSON.stringify(document),
    encoding: 'utf8',
  });
  return stdout.trim();
};

/** The check of a receipt as the Python client makes it: the key that it names, and everything but the signature. */
export const isSigned = (receipt: Fields & { signature: { key_id: string; sig: string } }): boolean => {
  const { signature, attestations: _attestations, ...rest } = receipt;
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: signature.key_id }, format: 'jwk' });
  return verify(null, Buffer.from(canonical(rest)), key, Buffer.from(signature.sig, 'base64url'));
};
