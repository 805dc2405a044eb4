import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { newId } from '@aitbc/contracts';
import { rememberSecret } from './scratch.ts';

/** A page of a list, so that a test needs no thousand objects to see a second one. */
const LIST_MAX = 3;

const sha256 = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

const bodyOf = async (request: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};

/** Signature Version 4, found out again from the request. @returns what is wrong with it, or null */
const signatureProblem = (
  request: IncomingMessage,
  url: URL,
  body: Buffer,
  keys: { id: string; secret: string },
): string | null => {
  const found =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? '',
    );
  if (found === null) return 'AccessDenied';
  const [, id, day, region, names, signature] = found as unknown as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  if (id !== keys.id) return 'InvalidAccessKeyId';
  const said = String(request.headers['x-amz-content-sha256']);
  if (said !== 'UNSIGNED-PAYLOAD' && said !== sha256(body)) return 'XAmzContentSHA256Mismatch';
  const query = [...url.searchParams]
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join('&');
  const headers = names.split(';').map((name) => `${name}:${String(request.headers[name]).trim()}\n`);
  const canonical = [request.method, url.pathname, query, headers.join(''), names, said].join('\n');
  const scope = `${day}/${region}/s3/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', request.headers['x-amz-date'], scope, sha256(canonical)].join('\n');
  const key = [day, region, 's3', 'aws4_request'].reduce<string | Buffer>(hmac, `AWS4${keys.secret}`);
  return hmac(key, text).toString('hex') === signature ? null : 'SignatureDoesNotMatch';
};

/** A server that speaks as much S3 as an archive needs, with one bucket, and checks every signature by itself. */
export const startS3 = async () => {
  const objects = new Map<string, Buffer>();
  const keys = { id: 'AKIATEST', secret: rememberSecret(`s3-${newId()}`) };
  const bucket = 'archive-test';
  /** Calls that are answered 503 before one is taken again. */
  let refusals = 0;

  const list = (query: URLSearchParams): string => {
    const prefix = query.get('prefix') ?? '';
    const after = query.get('continuation-token') ?? '';
    const found = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = found.slice(0, LIST_MAX);
    const next =
      found.length > LIST_MAX ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
    const contents = page.map((key) => `<Contents><Key>${key}</Key></Contents>`).join('');
    return `<?xml version="1.0"?><ListBucketResult>${contents}${next}</ListBucketResult>`;
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await bodyOf(request);
    const url = new URL(request.url as string, 'http://s3');
    const refuse = (status: number, code: string) => {
      response.writeHead(status).end(`<Error><Code>${code}</Code></Error>`);
    };
    if (refusals > 0) {
      refusals -= 1;
      return refuse(503, 'SlowDown');
    }
    const problem = signatureProblem(request, url, body, keys);
    if (problem !== null) return refuse(403, problem);
    const [, where, ...rest] = url.pathname.split('/').map(decodeURIComponent);
    if (where !== bucket) return refuse(404, 'NoSuchBucket');
    const key = rest.join('/');
    if (request.method === 'PUT') {
      objects.set(key, body);
      response.end();
    } else if (key === '') response.end(list(url.searchParams));
    else {
      const bytes = objects.get(key);
      if (bytes === undefined) return refuse(404, 'NoSuchKey');
      response.end(bytes);
    }
  };
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    objects,
    /** Where a prefix of the bucket is. */
    urlOf: (prefix: string) => `s3://${bucket}/${prefix}?endpoint=${endpoint}&region=eu-central-1`,
    endpoint,
    keys: { AWS_ACCESS_KEY_ID: keys.id, AWS_SECRET_ACCESS_KEY: keys.secret },
    refuse: (calls: number) => {
      refusals = calls;
    },
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
};
