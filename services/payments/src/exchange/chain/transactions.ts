import { hash as digest } from 'node:crypto';
import { HDKey } from '@scure/bip32';
import { OutScript, RawTx, Transaction } from '@scure/btc-signer';

/** A Bitcoin transaction, taken apart. Ids in display order, scripts in hex. */
export interface Tx {
  readonly txid: string;
  readonly wtxid: string;
  readonly raw: Buffer;
  readonly version: number;
  readonly lock_time: number;
  readonly inputs: readonly {
    readonly txid: string;
    readonly vout: number;
    readonly script_sig: string;
    readonly sequence: number;
    readonly witness: readonly Buffer[];
  }[];
  readonly outputs: readonly { readonly script: string; readonly value_sats: number }[];
  readonly is_coinbase: boolean;
  readonly vsize: number;
  readonly weight: number;
}

export const sha256d = (bytes: Uint8Array): Buffer =>
  digest('sha256', digest('sha256', bytes, 'buffer'), 'buffer');
/** Hashes are shown with their bytes reversed. */
export const shown = (bytes: Uint8Array): string => Buffer.from(bytes).reverse().toString('hex');
export const hidden = (hex: string): Buffer => Buffer.from(hex, 'hex').reverse();

export const NO_TXID = '0'.repeat(64);
const SIGHASH_ALL = 1;

/** @throws when the bytes are no transaction. */
export const parseTransaction = (raw: Uint8Array): Tx => {
  const tx = RawTx.decode(raw);
  const stripped = RawTx.encode({ ...tx, segwitFlag: false, witnesses: undefined } as typeof tx);
  const inputs = tx.inputs.map((input, index) => ({
    txid: Buffer.from(input.txid).toString('hex'),
    vout: input.index,
    script_sig: Buffer.from(input.finalScriptSig).toString('hex'),
    sequence: input.sequence,
    witness: (tx.witnesses?.[index] ?? []).map((item) => Buffer.from(item)),
  }));
  const weight = stripped.length * 3 + raw.length;
  return {
    txid: shown(sha256d(stripped)),
    wtxid: shown(sha256d(raw)),
    raw: Buffer.from(raw),
    version: tx.version,
    lock_time: tx.lockTime,
    inputs,
    outputs: tx.outputs.map(({ amount, script }) => ({
      script: Buffer.from(script).toString('hex'),
      value_sats: Number(amount),
    })),
    is_coinbase: inputs.length === 1 && inputs[0]?.txid === NO_TXID,
    vsize: Math.ceil(weight / 4),
    weight,
  };
};

/** A strict DER signature as r ‖ s. @throws when it is not one */
const compactSignature = (der: Buffer): Buffer => {
  const compact = Buffer.alloc(64);
  let at = 2;
  for (const part of [0, 1]) {
    const length = der[at + 1] ?? 0;
    const value = der.subarray(at + 2, at + 2 + length);
    const trimmed = value[0] === 0 ? value.subarray(1) : value;
    if (der[at] !== 2 || value.length !== length || trimmed.length > 32) throw new Error('not DER');
    compact.set(trimmed, 32 * (part + 1) - trimmed.length);
    at += 2 + length;
  }
  if (der[0] !== 0x30 || der[1] !== der.length - 2 || at !== der.length) throw new Error('not DER');
  return compact;
};

/**
 * Runs the one script that this chain spends: pay to witness public key hash (BIP 141, BIP 143).
 * @returns what is wrong, or null
 */
export const checkInput = (
  tx: Tx,
  index: number,
  spent: { script: string; value_sats: number },
): string | null => {
  const input = tx.inputs[index];
  const [signature, publicKey, ...rest] = input?.witness ?? [];
  if (input === undefined || signature === undefined || publicKey === undefined || rest.length > 0)
    return 'the witness must hold a signature and a public key';
  if (input.script_sig !== '') return 'scriptSig must be empty';
  try {
    const program = OutScript.decode(Buffer.from(spent.script, 'hex'));
    if (program.type !== 'wpkh') return 'only p2wpkh outputs can be spent here';
    const key = new HDKey({ publicKey });
    if (!Buffer.from(key.identifier ?? []).equals(Buffer.from(program.hash)))
      return 'the public key is not the one that was paid';
    if (signature.at(-1) !== SIGHASH_ALL) return 'only SIGHASH_ALL is accepted';
    const message = Transaction.fromRaw(tx.raw, {
      allowUnknownInputs: true,
      allowUnknownOutputs: true,
    }).preimageWitnessV0(
      index,
      OutScript.encode({ type: 'pkh', hash: program.hash }),
      SIGHASH_ALL,
      BigInt(spent.value_sats),
    );
    return key.verify(message, compactSignature(signature.subarray(0, -1)))
      ? null
      : 'the signature is not valid';
  } catch {
    return 'the witness cannot be read';
  }
};
