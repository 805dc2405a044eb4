import { Aitbc } from '@aitbc/sdk';
import { UsageError } from './failures.ts';
import { createOutput, type Output, type Streams } from './output.ts';
import { findTarget, type Target } from './profiles.ts';

export interface GlobalOptions {
  readonly profile?: string;
  readonly url?: string;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** What a command has to work with. */
export interface Context {
  readonly environment: Record<string, string | undefined>;
  readonly options: GlobalOptions;
  readonly streams: Streams;
  readonly output: Output;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  readonly target: Target;
  /** With the key, if there is one. */
  readonly client: Aitbc;
}

export const isUrl = (url: string): boolean => /^https?:$/.test(protocolOf(url));
/** By hand: Node 20 has no URL.parse. */
const protocolOf = (url: string): string => {
  try {
    return new URL(url).protocol;
  } catch {
    return '';
  }
};

export const clientOf = (url: string, secret: string | undefined): Aitbc => {
  if (!isUrl(url)) throw new UsageError(`${url} is no URL.`, 'It looks like https://coordinator.example');
  if (secret === undefined) return new Aitbc({ baseUrl: url });
  return new Aitbc({
    baseUrl: url,
    ...(secret.startsWith('st_') ? { sessionToken: secret } : { apiKey: secret }),
  });
};

export const wantsColors = (
  options: GlobalOptions,
  environment: Context['environment'],
  stream: { isTTY?: boolean },
) => stream.isTTY === true && !environment.NO_COLOR && environment.TERM !== 'dumb' && options.color !== false;

export const createContext = (
  options: GlobalOptions,
  environment: Context['environment'],
  streams: Streams,
  signal: AbortSignal,
): Context => {
  let target: Target | undefined;
  let client: Aitbc | undefined;
  const findOnce = (): Target => {
    target ??= findTarget(environment, options);
    return target;
  };
  return {
    environment,
    options,
    streams,
    signal,
    output: createOutput(streams, {
      json: options.json === true,
      colors: wantsColors(options, environment, streams.stdout),
    }),
    // Found when it is needed: `login` and `completion` work with a damaged file too.
    get target() {
      return findOnce();
    },
    get client() {
      client ??= clientOf(findOnce().url, findOnce().secret);
      return client;
    },
  };
};
