import { createPublicKey, verify } from 'node:crypto';
import { COORDINATOR, isRecord, Json, type LegacyReceipt, type ReceiptClaims } from '@aitbc/contracts';
import type { z } from 'zod';
import type { Keyring } from '../keyring.ts';
import { claimsOf, type PublicJwk } from '../receipts.ts';
import { proofOf } from '../store/receipts.ts';
import type { Work } from '../work.ts';

type Receipt = z.output<typeof LegacyReceipt>;
type Fields = Record<string, unknown>;

/** By code point, where JavaScript's own order is by UTF-16 unit. */
const byCodePoint = (a: string, b: string): number => {
  const [left, right] = [[...a], [...b]];
  for (let at = 0; at < left.length && at < right.length; at++) {
    const difference = (left[at]?.codePointAt(0) ?? 0) - (right[at]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
};

const ascii = (text: string): string =>
  JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/**
 * JSON in the form that the original's receipts are signed in: null left out, names in the order of their code points, no
 * blanks, ASCII alone. Of numbers those alone that JavaScript and Python write alike: whole ones, and from 0.0001 on.
 */
export const pythonJson = (value: unknown): string => {
  if (typeof value === 'string') return ascii(value);
  if (Array.isArray(value))
    return `[${value
      .filter((item) => item !== null)
      .map(pythonJson)
      .join(',')}]`;
  if (!isRecord(value)) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== null && member !== undefined)
    .sort(([a], [b]) => byCodePoint(a, b))
    .map(([name, member]) => `${ascii(name)}:${pythonJson(member)}`);
  return `{${members.join(',')}}`;
};

/** Python writes `1e-05` where JavaScript writes 0.00001: a smaller amount is a text. */
const SMALLEST_ALIKE = 1e-4;
const plain = (amount: number): number | string =>
  amount === 0 || amount >= SMALLEST_ALIKE ? amount : amount.toFixed(8).replace(/0+$/, '');

const signedBytes = (receipt: Fields): Buffer => {
  const { signature: _signature, attestations: _attestations, ...rest } = receipt;
  return Buffer.from(pythonJson(rest));
};

/** Everything in it stands in the signed claims of the job's own receipt: no prompt, no result. */
const fieldsOf = (claims: ReceiptClaims) => {
  const startedMs = Date.parse(claims.started_at);
  const completedMs = Date.parse(claims.completed_at);
  return {
    version: '1.0' as const,
    receipt_id: claims.receipt_id,
    job_id: claims.job_id,
    provider: claims.miner_id,
    client: claims.client_id,
    status: 'COMPLETED' as const,
    units: (completedMs - startedMs) / 1_000,
    unit_type: 'gpu_seconds' as const,
    price: plain(claims.price),
    started_at: Math.floor(startedMs / 1_000),
    completed_at: Math.floor(completedMs / 1_000),
    parameters_sha256: claims.parameters_sha256,
    result_sha256: claims.result_sha256,
  };
};

/**
 * A receipt in the original's form. Signed when it is read: the same bytes under the same key give the same signature, and
 * the key is one that is published.
 */
export const legacyReceipt = (keyring: Keyring, claims: ReceiptClaims): Receipt => {
  const signed = <T extends Fields>(fields: T) => ({
    ...fields,
    signature: { alg: 'Ed25519' as const, ...keyring.signBytes(signedBytes(fields)) },
  });
  const fields = fieldsOf(claims);
  return signed({
    ...fields,
    receiptId: claims.receipt_id,
    jobId: claims.job_id,
    miner: claims.miner_id,
    coordinator: COORDINATOR,
    issuedAt: claims.completed_at,
    payload: signed(fields),
  });
};

const isSignedBy = (keys: readonly PublicJwk[], receipt: Fields): boolean => {
  const { signature } = receipt;
  if (!isRecord(signature) || signature.alg !== 'Ed25519' || typeof signature.sig !== 'string') return false;
  const jwk = keys.find(({ x }) => x === signature.key_id);
  if (jwk === undefined) return false;
  const key = createPublicKey({ key: { kty: jwk.kty, crv: jwk.crv, x: jwk.x }, format: 'jwk' });
  return verify(null, signedBytes(receipt), key, Buffer.from(signature.sig, 'base64url'));
};

/**
 * Whether a receipt in the original's form says what was signed here.
 * @param claims of the receipt that it names
 * @returns what is wrong with it; null when nothing is
 */
const faultOf = (claims: ReceiptClaims, keys: readonly PublicJwk[], asked: Fields): string | null => {
  const payload = isRecord(asked.payload) ? asked.payload : asked;
  const { signature, attestations: _attestations, ...said } = payload;
  const fields: Fields = fieldsOf(claims);
  const mine: Fields = {
    ...fields,
    jobId: claims.job_id,
    receiptId: claims.receipt_id,
    miner: claims.miner_id,
  };
  const around =
    payload === asked ? {} : { receipt_id: asked.receipt_id, job_id: asked.job_id, miner: asked.miner };
  for (const [name, value] of [...Object.entries(around), ...Object.entries(said)])
    if (value !== undefined && pythonJson(value) !== pythonJson(mine[name] ?? null))
      return `${name} is not what was signed`;
  for (const name of Object.keys(fields)) if (!(name in payload)) return `${name} is missing`;
  if (signature !== undefined && !isSignedBy(keys, payload)) return 'the signature does not match';
  return null;
};

/** The check of a receipt in the original's form, against what was signed here under its id. */
export const verifyLegacy = async (
  work: Pick<Work, 'keyring' | 'store'>,
  text: string,
): Promise<{ valid: boolean; claims: ReceiptClaims | null; reason: string | null }> => {
  const invalid = (reason: string) => ({ valid: false, claims: null, reason });
  let asked: unknown;
  try {
    asked = JSON.parse(text);
  } catch {
    return invalid('not a receipt');
  }
  if (!isRecord(asked) || !Json.safeParse(asked).success) return invalid('not a receipt');
  const { receipt_id: id = isRecord(asked.payload) ? asked.payload.receipt_id : undefined } = asked;
  const proof = typeof id === 'string' ? await proofOf(work.store.read, id.toLowerCase()) : undefined;
  if (proof === undefined) return invalid('no receipt of this id was signed here');
  const claims = claimsOf(proof);
  const fault = faultOf(claims, await work.keyring.jwks(), asked);
  return fault === null ? { valid: true, claims, reason: null } : invalid(fault);
};
