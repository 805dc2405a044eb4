import type { Receipt, ReceiptClaims } from '../contract.ts';
import { findKey, fromBase64url, isSignedBy, type PublicKey, saltedHash, utf8 } from './bytes.ts';

export type ReceiptVerdict =
  | { readonly valid: true; readonly claims: ReceiptClaims; readonly reason: null }
  | { readonly valid: false; readonly claims: null; readonly reason: string };

const decode = (part: string | undefined): Record<string, unknown> => {
  const bytes = fromBase64url(part ?? '');
  if (bytes === undefined) return {};
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
};

const TEXTS = [
  'receipt_id',
  'job_id',
  'client_id',
  'miner_id',
  'job_type',
  'parameters_sha256',
  'result_sha256',
  'currency',
  'started_at',
  'completed_at',
] as const satisfies readonly (keyof ReceiptClaims)[];
const isReceipt = (claims: Record<string, unknown>): boolean =>
  TEXTS.every((name) => typeof claims[name] === 'string') &&
  typeof claims.price === 'number' &&
  typeof claims.attempt === 'number';

/**
 * Checks a receipt without asking anyone: that the coordinator signed it, and that it speaks of the result at hand.
 * @param receipt of `jobs.receipts`, whose result is held against the signed hash; or its `proof` alone
 * @param keys of `explorer.receiptKeys`, kept from a time when they were trusted
 * @param content what else is held against the signed hashes, with the job's `salt`
 */
export const verifyReceipt = async (
  receipt: Pick<Receipt, 'proof'> | Receipt | string,
  keys: readonly PublicKey[],
  content: { readonly parameters?: unknown; readonly result?: unknown; readonly salt?: string | null } = {},
): Promise<ReceiptVerdict> => {
  const invalid = (reason: string): ReceiptVerdict => ({ valid: false, claims: null, reason });
  const proof = typeof receipt === 'string' ? receipt : receipt.proof;
  const [header, payload, signature, ...more] = proof.split('.');
  if (signature === undefined || more.length > 0) return invalid('not a compact JWS');
  const { alg, kid, crit } = decode(header);
  if (alg !== 'EdDSA' || crit !== undefined) return invalid('not signed with EdDSA');
  const key = await findKey(keys, kid);
  if (key === undefined) return invalid('signed with a key that is not among those given');
  const bytes = fromBase64url(signature);
  if (bytes === undefined) return invalid('the signature is not base64url');
  if (!(await isSignedBy(key, bytes, utf8(`${header}.${payload}`))))
    return invalid('the signature does not match');
  const claims = decode(payload);
  if (!isReceipt(claims)) return invalid('signed by this coordinator, but not a receipt');

  const known: { parameters?: unknown; result?: unknown; salt?: string | null } =
    typeof receipt === 'string' ? content : { ...receipt, ...content };
  for (const name of ['parameters', 'result'] as const) {
    if (known[name] === undefined) continue;
    if ((await saltedHash(known.salt ?? null, known[name])) !== claims[`${name}_sha256`])
      return invalid(
        `the ${name} at hand are not what was signed`.replace('result at hand are', 'result at hand is'),
      );
  }
  return { valid: true, claims: claims as unknown as ReceiptClaims, reason: null };
};
