import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { UsageError } from './failures.ts';

export interface Profile {
  readonly url: string;
  /** A key (`ak_…`), or the token of a session (`st_…`). */
  readonly secret: string;
}
interface Stored {
  readonly current: string;
  readonly profiles: Record<string, Profile>;
}

export const URL_DEFAULT = 'http://127.0.0.1:8000';
export const PROFILE_DEFAULT = 'default';

type Environment = Record<string, string | undefined>;
/** Where `aitbc login` keeps what it was given: `aitbc/credentials.json` in the XDG folder. */
export const profilesFile = (environment: Environment): string =>
  join(environment.XDG_CONFIG_HOME || join(homedir(), '.config'), 'aitbc', 'credentials.json');

export const readProfiles = (environment: Environment): Stored => {
  const file = profilesFile(environment);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { current: PROFILE_DEFAULT, profiles: {} };
    throw new UsageError(`${file} cannot be read.`, 'Make it yours again, or log in anew.');
  }
  try {
    const { current, profiles } = JSON.parse(text) as Stored;
    if (typeof current === 'string' && typeof profiles === 'object' && profiles !== null)
      return { current, profiles };
  } catch {}
  throw new UsageError(`${file} is damaged.`, 'Delete it and log in again.');
};

/** For the owner alone, and whole: written beside it and moved into place. */
export const writeProfiles = (environment: Environment, stored: Stored): string => {
  const file = profilesFile(environment);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const beside = `${file}.${process.pid}`;
  writeFileSync(beside, `${JSON.stringify(stored, null, 2)}\n`, { mode: 0o600 });
  // A file that was there keeps its mode when it is written to.
  chmodSync(beside, 0o600);
  renameSync(beside, file);
  return file;
};

/** Null when nobody else can read it, or when it is not there. */
export const tooOpen = (environment: Environment): string | null => {
  const file = profilesFile(environment);
  const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0;
  return process.platform !== 'win32' && (mode & 0o077) !== 0 ? file : null;
};

export interface Target {
  readonly url: string;
  readonly secret: string | undefined;
  /** The name of the profile that they come from, if they do. */
  readonly profile: string | undefined;
}

/** The environment comes before the profile. A key goes to the address that it was stored with, and to no other. */
export const findTarget = (
  environment: Environment,
  given: { readonly profile?: string | undefined; readonly url?: string | undefined },
): Target => {
  const { current, profiles } = readProfiles(environment);
  const name = given.profile ?? environment.AITBC_PROFILE ?? current;
  const profile = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
  if (profile === undefined && (given.profile ?? environment.AITBC_PROFILE) !== undefined)
    throw new UsageError(
      `There is no profile ${name}.`,
      `Known: ${Object.keys(profiles).join(', ') || 'none'}. Make it with: aitbc login --profile ${name}`,
    );
  const url = (given.url ?? environment.AITBC_URL ?? profile?.url ?? URL_DEFAULT).replace(/\/+$/, '');
  const isItsOwn = profile !== undefined && profile.url === url;
  return {
    url,
    secret: environment.AITBC_API_KEY || (isItsOwn ? profile.secret : undefined),
    profile: isItsOwn ? name : undefined,
  };
};
