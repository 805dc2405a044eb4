import { type Context, createShare, type Handlers } from '@aitbc/chassis';
import { type AnyRoute, type doorRoutes, fromMinor, invalidField, Problem } from '@aitbc/contracts';
import { cancel } from '../commands/end.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';
import { readEnd, wholeAnswer } from './answers.ts';
import { type Asked, type Kind, readAsked } from './asked.ts';
import { attend } from './attend.ts';
import { askOf, begin, findBegun } from './begin.ts';
import { createLive, type Live } from './live.ts';
import { createModels } from './models.ts';
import { brokenOff, disagrees, stopping as isStopping, outOfTime, refusalOf, unreadable } from './refusal.ts';
import { prepareAsked, WHOLE_MAX_SECONDS } from './submission.ts';
import type { Fields } from './written.ts';

/** Open at once of one account: each holds a socket here and at the gateway. */
const OPEN_PER_ACCOUNT_MAX = 1_000;
/**
 * ...and its request in memory for as long, at about three times its size: of one account 64 MB of requests, of all together
 * 256 MB, which is some 800 MB of this process.
 */
const OPEN_KB_PER_ACCOUNT_MAX = 64 * 1_024;
const OPEN_KB_MAX = 256 * 1_024;
const KEY_LENGTH_MAX = 255;

type Asking = Pick<Context<AnyRoute>, 'body' | 'caller' | 'response' | 'signal'>;
type Reply = { status: 200; body: Fields } | null;

/** Plain digits, however small. */
const priceText = (price: number): string => price.toFixed(8).replace(/\.?0+$/, '');

const readKey = (key: string | undefined): string | undefined => {
  if (key !== undefined && (key.length === 0 || key.length > KEY_LENGTH_MAX))
    throw invalidField('Idempotency-Key', `must have 1 to ${KEY_LENGTH_MAX} characters`);
  return key;
};

const isWritten = (asked: Asked): asked is Asked & { kind: 'chat' | 'completion' } =>
  asked.kind !== 'embedding';

/**
 * OpenAI's routes: each request becomes a job by the same commands as any other, is watched until it ends, and its result is
 * told in their form. Who goes away cancels it.
 */
export const createDoor = (work: Work, stopping: AbortSignal): Handlers<typeof doorRoutes> => {
  const models = createModels(work);
  const share = createShare({
    max: OPEN_PER_ACCOUNT_MAX,
    code: 'TOO_MANY_STREAMS',
    what: 'requests to models open',
    retryAfterSeconds: 5,
  });
  const sizes = createShare({
    max: OPEN_KB_PER_ACCOUNT_MAX,
    code: 'TOO_MANY_STREAMS',
    what: 'KB of requests to models open',
    retryAfterSeconds: 5,
  });
  let openKb = 0;
  /** @throws Problem TOO_MANY_STREAMS, OVERLOADED */
  const hold = (accountId: string, kb: number): (() => void) => {
    if (openKb + kb > OPEN_KB_MAX)
      throw new Problem('OVERLOADED', 'Too many large requests are open; try again shortly.', {
        retryAfterSeconds: 5,
      });
    const giveBackSize = sizes.take(accountId, kb);
    try {
      const giveBack = share.take(accountId);
      openKb += kb;
      return () => {
        giveBack();
        giveBackSize();
        openKb -= kb;
      };
    } catch (error) {
      giveBackSize();
      throw error;
    }
  };
  /** How many requests wait for each job: more than one when one was sent again. */
  const attending = new Map<string, number>();

  const leave = async (accountId: string, jobId: string): Promise<void> => {
    try {
      await work.store.transact('door.leave', (trx) => cancel(trx, work, jobId, accountId));
    } catch (error) {
      // It ended meanwhile.
      if (!(error instanceof Problem)) throw error;
    }
  };

  const tellEnd = async (
    asked: Asked,
    job: JobRow,
    response: Context<AnyRoute>['response'],
    live: Live | undefined,
  ): Promise<Reply> => {
    if (job.status !== 'completed') throw refusalOf(job);
    const end = await readEnd(work, job);
    if (end === null) throw unreadable();
    const { result, of } = end;
    if (live !== undefined) {
      const outcome = live.finish(job, result, of);
      if (outcome === 'done') return null;
      throw outcome === 'disagrees' ? disagrees() : unreadable();
    }
    const body = wholeAnswer(asked, job, result, of);
    if (body === null) throw unreadable();
    response.set({ 'x-aitbc-receipt-id': of.receipt_id, 'x-aitbc-price': priceText(of.price) });
    return { status: 200, body };
  };

  const follow = async (asked: Asked, jobId: string, context: Asking): Promise<Reply> => {
    const { response, caller } = context;
    const live = asked.isStreamed && isWritten(asked) ? createLive(work, asked, jobId, response) : undefined;
    const attendance = attend(work, jobId, {
      gone: context.signal,
      stopping,
      onOutput: () => live?.push(),
    });
    attending.set(jobId, (attending.get(jobId) ?? 0) + 1);
    live?.follow(attendance);
    const late =
      live === undefined && !asked.namesTimeout
        ? setTimeout(attendance.giveUp, WHOLE_MAX_SECONDS * 1_000)
        : undefined;
    let isUnwanted = false;
    try {
      const outcome = await attendance.outcome;
      switch (outcome.kind) {
        case 'ended':
          return await tellEnd(asked, outcome.job, response, live);
        case 'left':
          isUnwanted = true;
          return null;
        case 'given_up':
          isUnwanted = true;
          throw live?.isLost() === true ? brokenOff() : outOfTime(WHOLE_MAX_SECONDS);
        case 'stopping':
          // Whoever asks again finds the job; nobody asks again by itself in the middle of an answer.
          isUnwanted = live?.hasText() === true;
          throw isStopping();
      }
    } catch (error) {
      if (live === undefined || !response.headersSent || !(error instanceof Problem)) throw error;
      live.fail(error);
      return null;
    } finally {
      clearTimeout(late);
      live?.end();
      attendance.end();
      const others = (attending.get(jobId) ?? 1) - 1;
      if (others > 0) attending.set(jobId, others);
      else attending.delete(jobId);
      if (isUnwanted && others === 0) await leave(caller.account_id, jobId);
    }
  };

  const answer = async (kind: Kind, context: Asking): Promise<Reply> => {
    const { caller, body, response } = context;
    const { headers } = response.req;
    const asked = readAsked(kind, body, headers, fromMinor(caller.default_price_minor ?? 0));
    const key = readKey(headers['idempotency-key'] as string | undefined);
    const ask = askOf(asked, body, key, headers['x-stainless-retry-count']);
    const giveBack = hold(caller.account_id, ask.sizeKb);
    try {
      const known = await findBegun(work.store.read, caller.account_id, ask);
      const prepared = known === undefined ? prepareAsked(work, models, asked) : undefined;
      const jobId =
        prepared === undefined
          ? (known as string)
          : await work.store.transact('door.begin', (trx) => begin(trx, work, caller, prepared, ask));
      response.setHeader('x-aitbc-job-id', jobId);
      return await follow(asked, jobId, context);
    } finally {
      giveBack();
    }
  };

  return {
    chat: (context) => answer('chat', context) as never,
    complete: (context) => answer('completion', context) as never,
    embed: (context) => answer('embedding', context) as never,
    models: () => ({ status: 200, body: { object: 'list', data: models.list() } }),
    model: (context) => ({ status: 200, body: models.get(context.params.model) }),
  };
};
