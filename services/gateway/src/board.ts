import { Problem } from '@aitbc/contracts';
import express, { type RequestHandler } from 'express';
import type { Page } from './front/index.ts';
import type { Queues } from './queues.ts';

const PATH = '/admin/queues';

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/**
 * The mailboxes, for operators to look at. Nothing can be changed there: what the queues hold are hints, and a
 * browser that keeps a password must not be made to act by another page. Dead letters are acted on through the API.
 */
export const createBoard = (queues: Queues): Page => {
  let board: Promise<RequestHandler> | undefined;

  // Loaded when first looked at: most processes never are.
  const load = async (): Promise<RequestHandler> => {
    const [{ createBullBoard }, { BullMQAdapter }, { ExpressAdapter }] = await Promise.all([
      import('@bull-board/api'),
      import('@bull-board/api/bullMQAdapter'),
      import('@bull-board/express'),
    ]);
    const serverAdapter = new ExpressAdapter().setBasePath(PATH);
    createBullBoard({
      queues: queues.open().map((queue) => new BullMQAdapter(queue, { readOnlyMode: true })),
      // It brings its own copy of the same types.
      serverAdapter: serverAdapter as never,
      options: { uiConfig: { boardTitle: 'AITBC mailboxes' } },
    });
    return express.Router().use(PATH, serverAdapter.getRouter());
  };

  return {
    matches: (path) => path === PATH || path.startsWith(`${PATH}/`),
    label: PATH,
    operatorsOnly: true,
    serve: (request, response, next) => {
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.setHeader('allow', 'GET, HEAD');
        throw new Problem('METHOD_NOT_ALLOWED', 'Nothing can be changed here.');
      }
      response.set({ 'content-security-policy': POLICY, 'cache-control': 'no-store' });
      board ??= load();
      board.then((handler) => handler(request, response, next)).catch(next);
    },
  };
};
