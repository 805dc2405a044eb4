import { hash } from 'node:crypto';
import { AwsClient } from 'aws4fetch';
import type { BucketKeys, Objects } from './index.ts';

/** A part has some hundred kilobytes; who does not take it in this time is asked again later. */
const TIMEOUT_MS = 60_000;
/** Of one call, 50 ms after the first and doubling; who calls comes back anyhow. */
const RETRIES = 3;
/** Of what a bucket says against a call, so much goes on into the error. */
const WORDS_MAX = 300;

const unescapeXml = (text: string): string =>
  text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&amp;', '&');
const textsOf = (xml: string, element: string): string[] =>
  [...xml.matchAll(new RegExp(`<${element}>([^<]*)</${element}>`, 'g'))].map(([, text]) =>
    unescapeXml(text as string),
  );

/** What speaks S3, addressed by its path, which all of them understand. */
export const openBucket = (url: URL, keys: BucketKeys): Objects => {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = keys;
  if (!accessKeyId || !secretAccessKey)
    throw new Error(`${url.protocol}//${url.host} needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`);
  const region = url.searchParams.get('region') ?? 'us-east-1';
  const endpoint = (url.searchParams.get('endpoint') ?? `https://s3.${region}.amazonaws.com`).replace(
    /\/$/,
    '',
  );
  const within = url.pathname.replace(/^\/+|\/+$/g, '');
  const prefix = within === '' ? '' : `${decodeURIComponent(within)}/`;
  const client = new AwsClient({
    accessKeyId,
    secretAccessKey,
    ...(keys.AWS_SESSION_TOKEN ? { sessionToken: keys.AWS_SESSION_TOKEN } : {}),
    service: 's3',
    region,
    retries: RETRIES,
  });
  const addressOf = (name: string): string =>
    [endpoint, url.host, ...(prefix + name).split('/').map(encodeURIComponent)].join('/');

  const ask = async (what: string, address: string, init: RequestInit): Promise<Response> => {
    const response = await client.fetch(address, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.ok || (init.method === 'GET' && response.status === 404)) return response;
    const words = (await response.text()).slice(0, WORDS_MAX);
    throw new Error(`${what} at s3://${url.host} was answered ${response.status}: ${words}`);
  };

  return {
    name: `s3://${url.host}/${prefix}`,
    put: async (name, bytes) => {
      const response = await ask(`PUT ${name}`, addressOf(name), {
        method: 'PUT',
        body: new Uint8Array(bytes),
        // Signed too: the bucket refuses what does not arrive as it was sent.
        headers: { 'x-amz-content-sha256': hash('sha256', bytes) },
      });
      await response.arrayBuffer();
    },
    get: async (name) => {
      const response = await ask(`GET ${name}`, addressOf(name), { method: 'GET' });
      const bytes = Buffer.from(await response.arrayBuffer());
      if (response.status !== 404) return bytes;
      // A bucket that is not there is no empty one.
      if (bytes.includes('NoSuchBucket')) throw new Error(`there is no bucket s3://${url.host}`);
      return undefined;
    },
    list: async function* (from) {
      let token: string | undefined;
      do {
        const query = new URLSearchParams({ 'list-type': '2', prefix: prefix + from });
        if (token !== undefined) query.set('continuation-token', token);
        const address = `${endpoint}/${url.host}?${query}`;
        const response = await ask('a list', address, { method: 'GET' });
        const xml = await response.text();
        if (response.status === 404) throw new Error(`there is no bucket s3://${url.host}`);
        for (const key of textsOf(xml, 'Key')) yield key.slice(prefix.length);
        [token] = textsOf(xml, 'NextContinuationToken');
      } while (token !== undefined);
    },
  };
};
