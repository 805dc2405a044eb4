import { useEffect, useState } from 'react';
import { api, type Credential } from './session.ts';

/** As EIP-1193 says; what a wallet gives is checked where it is used. */
interface Provider {
  request(call: { method: string; params?: readonly unknown[] }): Promise<unknown>;
}
/** As EIP-6963 says: each wallet in the browser tells its name and how to speak to it. */
export interface Wallet {
  readonly info: { readonly uuid: string; readonly name: string; readonly icon: string };
  readonly provider: Provider;
}

const WALLETS_MAX = 20;

/** The wallets of this browser, as they say that they are there. */
export const useWallets = (): readonly Wallet[] => {
  const [wallets, setWallets] = useState<readonly Wallet[]>([]);
  useEffect(() => {
    const hear = (event: Event): void => {
      const { detail } = event as CustomEvent<Wallet>;
      if (typeof detail?.info?.uuid !== 'string' || typeof detail.provider?.request !== 'function') return;
      setWallets((known) =>
        known.length >= WALLETS_MAX || known.some(({ info }) => info.uuid === detail.info.uuid)
          ? known
          : [...known, detail],
      );
    };
    window.addEventListener('eip6963:announceProvider', hear);
    window.dispatchEvent(new Event('eip6963:requestProvider'));
    return () => window.removeEventListener('eip6963:announceProvider', hear);
  }, []);
  return wallets;
};

const toHex = (text: string): string =>
  `0x${Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, '0')).join('')}`;

/** Has a wallet sign the coordinator's message (ERC-4361), and gives the session for it. */
export const signWith = async ({ provider, info }: Wallet): Promise<Credential> => {
  const accounts = await provider.request({ method: 'eth_requestAccounts' });
  const address: unknown = Array.isArray(accounts) ? accounts[0] : undefined;
  if (typeof address !== 'string')
    throw new Error(`${info.name} gave no account. Unlock it, and choose one.`);
  const { message } = await api().account.challenge({ wallet_address: address });
  const signature = await provider.request({ method: 'personal_sign', params: [toHex(message), address] });
  if (typeof signature !== 'string') throw new Error(`${info.name} gave no signature.`);
  const session = await api().account.login({ wallet_address: address, message, signature });
  return { kind: 'session', secret: session.session_token };
};
