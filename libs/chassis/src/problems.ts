import { type AnyRoute, Problem, toOpenAiError } from '@aitbc/contracts';
import type { NextFunction, Request, Response } from 'express';
import type { Log } from './log.ts';
import { TookTooLong } from './store/fault.ts';

/** Those that took too long need the machine to have less to do. */
const TOO_LONG_RETRY_SECONDS = 2;

/** Library errors in front of our code, as ours: never their message. */
const asProblem = (error: unknown): Problem | null => {
  if (error instanceof Problem) return error;
  const { type, status } = error as { type?: string; status?: number };
  if (type === 'entity.too.large')
    return new Problem('BODY_TOO_LARGE', 'The body is larger than this route takes.');
  if (status === 400) return new Problem('BAD_REQUEST', 'The request could not be read.');
  return null;
};

/** From here on what goes wrong is said in the shape that the route's callers understand. */
export const speakAs = (route: AnyRoute, response: Response): void => {
  response.locals.speaks = route.speaks;
};

export const sendProblem = (response: Response, problem: Problem): void => {
  if (response.locals.speaks === 'openai') {
    const { status, headers, body } = toOpenAiError(problem);
    response.status(status).set(headers).json(body);
    return;
  }
  if (problem.retryAfterSeconds !== undefined)
    response.setHeader('retry-after', String(problem.retryAfterSeconds));
  response.status(problem.status).json(problem.toBody());
};

const ourFault = (error: unknown): Problem =>
  error instanceof TookTooLong
    ? new Problem('OVERLOADED', 'This took too long and was not done; try again shortly.', {
        retryAfterSeconds: TOO_LONG_RETRY_SECONDS,
      })
    : new Problem('INTERNAL_ERROR', 'Something went wrong on our side; it has been noted.');

/** Turns whatever was thrown into the one error shape; logs what is our fault. */
export const errorHandler =
  (log: Log) =>
  (error: unknown, request: Request, response: Response, _next: NextFunction): void => {
    const problem = asProblem(error);
    if (problem === null)
      log.error({ err: error, request_id: request.headers['x-request-id'] }, 'request failed');
    if (response.headersSent) {
      response.destroy();
      return;
    }
    sendProblem(response, problem ?? ourFault(error));
  };
