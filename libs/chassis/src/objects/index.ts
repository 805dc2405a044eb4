import { openFolder } from './folder.ts';
import { openBucket } from './s3.ts';

/** Whole files under names, in a folder or a bucket. A name is made of a-z, 0-9, dots, dashes and slashes. */
export interface Objects {
  /** Where that is, without anything secret. */
  readonly name: string;
  /** Resolves when it is durable. Under a name that is taken, it takes the place of what was there. */
  put(name: string, bytes: Buffer): Promise<void>;
  get(name: string): Promise<Buffer | undefined>;
  /** The names that begin so, in no order. */
  list(prefix: string): AsyncIterable<string>;
}

/** What speaks for us at a bucket, under the names that every S3 client knows. */
export interface BucketKeys {
  readonly AWS_ACCESS_KEY_ID?: string | undefined;
  readonly AWS_SECRET_ACCESS_KEY?: string | undefined;
  readonly AWS_SESSION_TOKEN?: string | undefined;
}

const SCHEMES = ['file:', 's3:'];

/** @returns what is wrong with such a URL, or null */
export const objectsProblem = (given: string): string | null => {
  if (!URL.canParse(given)) return 'must be a URL: file:///FOLDER or s3://BUCKET/PREFIX';
  const url = new URL(given);
  if (!SCHEMES.includes(url.protocol)) return 'must begin with file:/// or s3://';
  if (url.protocol === 'file:' && (url.host !== '' || url.pathname === '/'))
    return 'must name a folder from the root on: file:///FOLDER';
  if (url.protocol === 's3:' && url.host === '') return 'must name a bucket: s3://BUCKET/PREFIX';
  if (url.username !== '' || url.password !== '')
    return 'must not hold keys: they are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
  const endpoint = url.searchParams.get('endpoint');
  return endpoint === null || /^https?:\/\/[^/?#@]+\/?$/.test(endpoint)
    ? null
    : 'endpoint= must look like https://HOST:PORT';
};

/**
 * @param given `file:///FOLDER`, or `s3://BUCKET/PREFIX?region=…&endpoint=https://…`
 * @throws when it cannot be read, or keys are missing
 */
export const openObjects = (given: string, keys: BucketKeys = {}): Objects => {
  const problem = objectsProblem(given);
  if (problem !== null) throw new Error(`${given}: ${problem}`);
  const url = new URL(given);
  return url.protocol === 'file:' ? openFolder(decodeURIComponent(url.pathname)) : openBucket(url, keys);
};
