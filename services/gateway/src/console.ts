import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Problem } from '@aitbc/contracts';
import type { Request, Response } from 'express';
import type { Page } from './front/index.ts';

const YEAR_SECONDS = 365 * 86_400;
/** Smaller ones gain nothing. */
const ZIPPED_FROM_BYTES = 1_000;
const zip = promisify(gzip);

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
};
const ZIPPED = new Set(['.html', '.js', '.css', '.svg']);

/** No script and no style but the built files: what a stranger wrote into a job can neither run nor restyle. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  // Pictures of jobs and QR codes are shown from memory.
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

/** What these begin with is said to machines: there a wrong path is told as an error, to a browser too. */
const API = /^\/(?:v1|api|admin|docs|redoc|metrics|health|openapi\.json|\.well-known)(?:\/|$)/;

interface File {
  readonly bytes: Buffer;
  readonly type: string;
  readonly tag: string;
  /** Made when first asked for. */
  zipped?: Promise<Buffer>;
}

const read = (folder: string, name: string): File => {
  const bytes = readFileSync(join(folder, name));
  return {
    bytes,
    type: TYPES[extname(name)] ?? 'application/octet-stream',
    tag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 20)}"`,
  };
};

/**
 * The console's built files, in memory: no path of a request ever reaches the disk. Its addresses (`/jobs/…`) are
 * made by the page itself, so a browser that asks for one that nothing else answers gets the page.
 * @param folder where `vite build` put it; undefined is given back when nothing was built there
 */
export const createConsole = (folder: string): Page | undefined => {
  if (!existsSync(join(folder, 'index.html'))) return undefined;
  const files = new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const name = join(entry.parentPath, entry.name).slice(folder.length).replaceAll('\\', '/');
        return [name.startsWith('/') ? name : `/${name}`, read(folder, name)] as const;
      }),
  );
  const index = files.get('/index.html') as File;
  files.delete('/index.html');

  const send = async (request: Request, response: Response, file: File, isIndex: boolean): Promise<void> => {
    response.set({
      'content-type': file.type,
      etag: file.tag,
      vary: 'accept-encoding',
      // Their names change with what is in them; the page that names them is always asked for.
      'cache-control': isIndex ? 'no-cache' : `public, max-age=${YEAR_SECONDS}, immutable`,
    });
    if (isIndex) {
      response.vary('accept');
      response.set({ 'content-security-policy': POLICY, 'referrer-policy': 'no-referrer' });
    }
    if (request.headers['if-none-match'] === file.tag) {
      response.status(304).end();
      return;
    }
    const isWorthIt = file.bytes.length >= ZIPPED_FROM_BYTES && ZIPPED.has(extname(request.path) || '.html');
    if (isWorthIt && request.acceptsEncodings('gzip') !== false) {
      file.zipped ??= zip(file.bytes, { level: 9 });
      response.set('content-encoding', 'gzip').end(await file.zipped);
    } else response.end(file.bytes);
  };

  return {
    label: '/',
    matches: (path, request) => {
      if (request.method !== 'GET' && request.method !== 'HEAD') return false;
      if (files.has(path)) return true;
      // A program that asks for everything (`*/*`) is told that there is nothing; a browser names what it wants.
      return !API.test(path) && extname(path) === '' && /\btext\/html\b/.test(request.headers.accept ?? '');
    },
    serve: async (request, response) => {
      const file = files.get(request.path) ?? index;
      if (request.method !== 'GET' && request.method !== 'HEAD')
        throw new Problem('METHOD_NOT_ALLOWED', 'Use GET here.');
      await send(request, response, file, file === index);
    },
  };
};
