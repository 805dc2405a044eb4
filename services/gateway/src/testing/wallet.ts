import { rememberSecret } from '@aitbc/testing';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';

/** A wallet of nobody, which signs as a person would. */
export const newWallet = () => privateKeyToAccount(rememberSecret(generatePrivateKey()));
