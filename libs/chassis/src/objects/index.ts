import { objectsProblem } from './address.ts';
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
