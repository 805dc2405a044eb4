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
for document in json.load(sys.stdin):
    print(json.dumps(strip(document), separators=(",", ":"), sort_keys=True))
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

type Receipt = Fields & { readonly signature: { readonly key_id: string; readonly sig: string } };

/** As the Python client of the original writes what is signed: with Python itself where it is, in one go. */
const canonical = (documents: readonly Fields[]): string[] => {
  const { status, stdout } = spawnSync('python3', ['-c', PYTHON], {
    input: JSON.stringify(documents),
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim().split('\n') : documents.map(byTheRules);
};

/** The check of receipts as the Python client makes it: the key that each names, and everything but the signature. */
export const areSigned = (receipts: readonly Receipt[]): boolean[] => {
  const texts = canonical(
    receipts.map(({ signature: _signature, attestations: _attestations, ...rest }) => rest),
  );
  return receipts.map(({ signature }, at) => {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: signature.key_id }, format: 'jwk' });
    return verify(null, Buffer.from(texts[at] as string), key, Buffer.from(signature.sig, 'base64url'));
  });
};
