import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { type AnyRoute, Problem } from '@aitbc/contracts';
import { buildOpenApi } from '@aitbc/contracts/openapi';
import type { Request, Response } from 'express';
import type { Page } from './front/index.ts';

const ASSET_SECONDS = 3_600;

const asset = (specifier: string): string => fileURLToPath(import.meta.resolve(specifier));

/** The only files that are served: from the installed packages, never from another host. */
const ASSETS: Record<string, string> = {
  '/docs/assets/swagger-ui.css': asset('swagger-ui-dist/swagger-ui.css'),
  '/docs/assets/swagger-ui-bundle.js': asset('swagger-ui-dist/swagger-ui-bundle.js'),
  '/docs/assets/favicon.png': asset('swagger-ui-dist/favicon-32x32.png'),
  '/redoc/assets/redoc.standalone.js': asset('redoc/bundles/redoc.standalone.js'),
};

// Keys typed into the page stay in its memory: nothing is kept in the browser.
const SWAGGER_SCRIPT = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  docExpansion: 'none',
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
  layout: 'BaseLayout',
});
`;
const REDOC_SCRIPT = `Redoc.init('/openapi.json', {
  expandResponses: '200,201',
  hideDownloadButton: false,
  jsonSampleExpandLevel: 3,
}, document.getElementById('docs'));
`;
const REDOC_STYLE = 'body { margin: 0 }\n';

const SCRIPTS: Record<string, { type: string; text: string }> = {
  '/docs/assets/start.js': { type: 'text/javascript', text: SWAGGER_SCRIPT },
  '/redoc/assets/start.js': { type: 'text/javascript', text: REDOC_SCRIPT },
  '/redoc/assets/page.css': { type: 'text/css', text: REDOC_STYLE },
};

const html = (title: string, head: string, scripts: readonly string[]): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" type="image/png" href="/docs/assets/favicon.png">
${head}
</head>
<body>
<div id="docs"></div>
${scripts.map((src) => `<script src="${src}"></script>`).join('\n')}
</body>
</html>
`;

const PAGES: Record<string, { html: string; styles: string }> = {
  '/docs': {
    html: html('AITBC coordinator API', '<link rel="stylesheet" href="/docs/assets/swagger-ui.css">', [
      '/docs/assets/swagger-ui-bundle.js',
      '/docs/assets/start.js',
    ]),
    styles: "'self'",
  },
  '/redoc': {
    html: html('AITBC coordinator API', '<link rel="stylesheet" href="/redoc/assets/page.css">', [
      '/redoc/assets/redoc.standalone.js',
      '/redoc/assets/start.js',
    ]),
    // It writes its styles into the page itself.
    styles: "'self' 'unsafe-inline'",
  },
};

const policy = (styles: string): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    `style-src ${styles}`,
    "img-src 'self' data:",
    "font-src 'self' data:",
    "connect-src 'self'",
    // Redoc's search runs in a worker that it makes itself.
    'worker-src blob:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');

interface Description {
  readonly text: Buffer;
  readonly zipped: Buffer;
  readonly tag: string;
}

/** Built when first asked for: most processes never are. */
const createDescribe = (routes: readonly AnyRoute[]) => {
  let made: Description | undefined;
  return (): Description => {
    if (made === undefined) {
      const text = Buffer.from(JSON.stringify(buildOpenApi(routes)));
      const tag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 20)}"`;
      made = { text, zipped: gzipSync(text), tag };
    }
    return made;
  };
};

const sendDescription = (description: Description, request: Request, response: Response): void => {
  const { text, zipped, tag } = description;
  response.set({ etag: tag, vary: 'accept-encoding', 'cache-control': 'no-cache' });
  if (request.headers['if-none-match'] === tag) {
    response.status(304).end();
    return;
  }
  response.type('application/json');
  if (request.acceptsEncodings('gzip') === false) response.send(text);
  else response.set('content-encoding', 'gzip').send(zipped);
};

const createServe =
  (describe: () => Description) =>
  (request: Request, response: Response, next: (error?: unknown) => void): void => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      throw new Problem('METHOD_NOT_ALLOWED', 'Use GET here.');
    }
    const path = request.path;
    if (path === '/openapi.json') {
      sendDescription(describe(), request, response);
      return;
    }
    const page = Object.hasOwn(PAGES, path) ? PAGES[path] : undefined;
    if (page !== undefined) {
      response.set({ 'content-security-policy': policy(page.styles), 'cache-control': 'no-cache' });
      response.type('html').send(page.html);
      return;
    }
    const script = Object.hasOwn(SCRIPTS, path) ? SCRIPTS[path] : undefined;
    response.set('cache-control', `public, max-age=${ASSET_SECONDS}`);
    if (script !== undefined) {
      response.type(script.type).send(script.text);
      return;
    }
    const file = Object.hasOwn(ASSETS, path) ? ASSETS[path] : undefined;
    if (file === undefined) throw new Problem('NOT_FOUND', 'No such page.');
    response.sendFile(file, { cacheControl: false, dotfiles: 'allow' }, (error) => {
      if (error !== undefined && error !== null && !response.headersSent) next(error);
    });
  };

/** The API's description for machines and people; works without any other host. */
export const createDocsPage = (routes: readonly AnyRoute[]): Page => ({
  matches: (path) =>
    path === '/openapi.json' ||
    path === '/docs' ||
    path === '/redoc' ||
    path.startsWith('/docs/assets/') ||
    path.startsWith('/redoc/assets/'),
  label: '/docs',
  serve: createServe(createDescribe(routes)),
});
