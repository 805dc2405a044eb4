import { randomBytes } from 'node:crypto';
import { Problem } from '@aitbc/contracts';
import { createSiweMessage, parseSiweMessage, validateSiweMessage } from 'viem/siwe';
import { getAddress, recoverMessageAddress } from 'viem/utils';
import type { NonceTable } from './tables.ts';

const STATEMENT = 'Sign in to the AITBC coordinator. This costs nothing and moves no funds.';

/** The one form of an address: EIP-55, whatever case it came in. */
export const canonicalAddress = (address: string): string => getAddress(address as `0x${string}`);

/** Letters and digits, as ERC-4361 wants it; 192 random bits. */
export const newNonce = (): string => randomBytes(24).toString('hex');

/**
 * The ERC-4361 message to sign.
 * @param origin where the wallet's page belongs: `https://host[:port]`
 */
export const challengeMessage = (nonce: NonceTable, origin: URL, nowMs: number): string =>
  createSiweMessage({
    address: nonce.wallet_address as `0x${string}`,
    chainId: nonce.chain_id,
    domain: nonce.domain,
    nonce: nonce.nonce,
    uri: origin.origin,
    version: '1',
    statement: STATEMENT,
    issuedAt: new Date(nowMs),
    expirationTime: new Date(nonce.expires_at_ms),
  });

const refuse = (message: string): Problem => new Problem('UNAUTHENTICATED', message);

/** @returns the nonce that a message names, or null when it is no ERC-4361 message as we write them. */
export const readNonce = (message: string): string | null => {
  try {
    const parsed = parseSiweMessage(message);
    // Written out again it must be the same text: then there is one way to read it.
    return createSiweMessage(parsed as Parameters<typeof createSiweMessage>[0]) === message
      ? (parsed.nonce ?? null)
      : null;
  } catch {
    return null;
  }
};

/**
 * Checks a signed message against the challenge it answers. An account with a private key (EOA) signs; nothing is
 * asked of a chain.
 * @throws Problem UNAUTHENTICATED
 */
export const checkSignature = async (
  login: { wallet_address: string; message: string; signature: string },
  challenge: NonceTable,
  nowMs: number,
): Promise<void> => {
  const message = parseSiweMessage(login.message);
  const isAnswer =
    challenge.wallet_address === login.wallet_address &&
    message.chainId === challenge.chain_id &&
    validateSiweMessage({
      address: login.wallet_address as `0x${string}`,
      domain: challenge.domain,
      message,
      nonce: challenge.nonce,
      time: new Date(nowMs),
    });
  if (!isAnswer) throw refuse('This message does not answer the challenge; ask for a new one.');
  const signer = await recoverMessageAddress({
    message: login.message,
    signature: login.signature as `0x${string}`,
  }).catch(() => null);
  if (signer !== login.wallet_address) throw refuse('The signature is not by this wallet.');
};
