import { Aitbc, AuthenticationError, type Reply } from '@aitbc/sdk';
import { useSyncExternalStore } from 'react';

/** What a person signed in with. */
export interface Credential {
  readonly kind: 'key' | 'session';
  readonly secret: string;
}
export type Who = Reply<'gateway.me'>;

const PLACE = 'aitbc.credential';
/** The SDK tries again by itself; a page that is looked at would rather say soon that nobody answers. */
const RETRIES = 1;

const parse = (text: string | null): Credential | null => {
  try {
    const value: unknown = JSON.parse(text ?? 'null');
    if (typeof value !== 'object' || value === null) return null;
    const { kind, secret } = value as Partial<Credential>;
    return (kind === 'key' || kind === 'session') && typeof secret === 'string' ? { kind, secret } : null;
  } catch {
    return null;
  }
};

const clientOf = (credential: Credential | null): Aitbc =>
  new Aitbc({
    baseUrl: location.origin,
    maxRetries: RETRIES,
    ...(credential?.kind === 'key' ? { apiKey: credential.secret } : {}),
    ...(credential?.kind === 'session' ? { sessionToken: credential.secret } : {}),
  });

// The tab's own storage ends with the tab; the other one is used when that was asked for.
let credential = parse(sessionStorage.getItem(PLACE)) ?? parse(localStorage.getItem(PLACE));
let client = clientOf(credential);
const listeners = new Set<() => void>();

const change = (to: Credential | null): void => {
  credential = to;
  client = clientOf(to);
  for (const listener of listeners) listener();
};

/** The coordinator, as whoever is signed in now. */
export const api = (): Aitbc => client;
export const currentCredential = (): Credential | null => credential;
export const onSessionChange = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};
export const useCredential = (): Credential | null =>
  useSyncExternalStore(onSessionChange, currentCredential);

/** Asks the coordinator who that is, and keeps it when it knows. */
export const signIn = async (given: Credential, isRemembered: boolean): Promise<Who> => {
  const who = await clientOf(given).account.me();
  forget();
  (isRemembered ? localStorage : sessionStorage).setItem(PLACE, JSON.stringify(given));
  change(given);
  return who;
};

const forget = (): void => {
  sessionStorage.removeItem(PLACE);
  localStorage.removeItem(PLACE);
};

/** A session is ended at the coordinator too; a key works on, for it may be used elsewhere. */
export const signOut = async (): Promise<void> => {
  const was = credential;
  const before = client;
  forget();
  change(null);
  if (was?.kind === 'session') await before.account.logout().catch(() => {});
};

/** A key that was revoked, or a session that ended, is let go: everything public goes on. */
export const noteRefusal = (error: unknown): void => {
  if (!(error instanceof AuthenticationError) || credential === null) return;
  forget();
  change(null);
};
