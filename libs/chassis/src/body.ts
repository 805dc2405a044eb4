import { isUtf8 } from 'node:buffer';
import { findJsonIssues, type JsonIssue, Problem } from '@aitbc/contracts';
import express, { type Request, type RequestHandler } from 'express';
import { hasBody } from './body-pace.ts';

/** A request whose body was read: what it holds, and what of it would not mean the same afterwards. */
export interface Received extends Request {
  /** Undefined without a body. */
  json?: { readonly value: unknown; readonly issues: readonly JsonIssue[] };
}

const BYTE_ORDER_MARK = 0xfeff;

/** `charset=utf-8` as people write it. Every other parameter of the type is of no concern. */
const UTF8 = new Set(['utf-8', 'utf8']);

/** @throws Problem UNSUPPORTED_MEDIA_TYPE, in words that name the cause. */
const checkHeaders = (request: Request): void => {
  const encoding = request.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (encoding !== 'identity' && encoding !== '') {
    throw new Problem(
      'UNSUPPORTED_MEDIA_TYPE',
      'The body is compressed (Content-Encoding); send it as it is.',
    );
  }
  const [type = '', ...parameters] = (request.headers['content-type'] ?? '').toLowerCase().split(';');
  const mediaType = type.trim();
  // No type at all: everything here is JSON.
  if (mediaType !== '' && !/^application\/(json|[\w.!#$&^+-]+\+json)$/.test(mediaType)) {
    throw new Problem(
      'UNSUPPORTED_MEDIA_TYPE',
      'The body is said to be something else than JSON; send Content-Type: application/json.',
    );
  }
  for (const parameter of parameters) {
    const [name = '', value = ''] = parameter.split('=', 2);
    if (
      name.trim() !== 'charset' ||
      UTF8.has(
        value
          .trim()
          .replace(/^"(.*)"$/, '$1')
          .trim(),
      )
    )
      continue;
    throw new Problem(
      'UNSUPPORTED_MEDIA_TYPE',
      'The body is said to be in another charset; JSON is UTF-8, so send it as that.',
    );
  }
};

/** The body as it was sent; `{}` without one. */
export const textOf = ({ body }: Request): string => {
  const text = Buffer.isBuffer(body) && body.length > 0 ? body.toString() : '{}';
  return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text;
};

const parse = (request: Request): Received['json'] => {
  const bytes = request.body as Buffer;
  if (bytes.length === 0) return undefined;
  // A decoder would put U+FFFD in the place of what it cannot read.
  if (!isUtf8(bytes)) throw new Problem('INVALID_JSON', 'The body is not valid UTF-8.');
  const text = textOf(request);
  try {
    return { value: JSON.parse(text) as unknown, issues: findJsonIssues(text) };
  } catch {
    throw new Problem('INVALID_JSON', 'The body is not valid JSON.');
  }
};

/** Reads a JSON body of at most `limit` bytes into `request.json`. */
export const readBody = (limit: number): RequestHandler => {
  const raw = express.raw({ limit, inflate: false, type: () => true });
  return (request: Received, response, next) => {
    if (!hasBody(request)) {
      next();
      return;
    }
    checkHeaders(request);
    raw(request, response, (error) => {
      if (error !== undefined) {
        next(error);
        return;
      }
      try {
        const json = parse(request);
        if (json !== undefined) request.json = json;
      } catch (problem) {
        next(problem);
        return;
      }
      next();
    });
  };
};
