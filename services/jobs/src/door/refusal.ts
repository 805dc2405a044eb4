import { Problem } from '@aitbc/contracts';
import type { JobRow } from '../tables.ts';

const NO_CAPACITY_RETRY_SECONDS = 30;
/** As the agent writes it: status, the server's own name of the error, its words. */
const REFUSED = /\((?:\d{3})(?: ([\w.-]+))?\)(?::\s*([\s\S]*))?$/;
const WORDS_MAX = 500;
/** What servers say of a prompt that does not fit, whatever they call it. */
const TOO_LONG = /context[ _-]?(?:length|window|size)|maximum context|too many tokens|prompt is too long/i;

const refusedByServer = (message: string): Problem => {
  const [, ownCode, ownWords] = REFUSED.exec(message) ?? [];
  const words = (ownWords ?? message).slice(0, WORDS_MAX);
  const code = TOO_LONG.test(`${ownCode ?? ''} ${words}`) ? 'context_length_exceeded' : ownCode;
  return new Problem(
    'MODEL_SERVER_REFUSED',
    words === '' ? 'The model server refused the request.' : words,
    code === undefined ? {} : { details: { code } },
  );
};

/** Why a job that ended gave no answer. */
export const refusalOf = (job: JobRow): Problem => {
  const { error_code: code, error_message: message } = job;
  if (code === 'MODEL_SERVER_REFUSED') return refusedByServer(message ?? '');
  if (code === 'INSUFFICIENT_FUNDS' || code === 'SPEND_CAP_EXCEEDED')
    return new Problem(code, message ?? 'There is not enough money for this price.');
  if (job.status === 'cancelled')
    return new Problem('UPSTREAM_FAILED', 'The job was cancelled.', { details: { code: 'cancelled' } });
  if (code === 'TIMED_OUT')
    return new Problem('JOB_TIMED_OUT', 'The job ran longer than it may; allow more with X-AITBC-Timeout.');
  if (job.status === 'expired' && job.attempt <= job.undelivered)
    return new Problem(
      'NO_CAPACITY',
      job.is_funded === 0
        ? 'The payment was not held within the time that the request may wait.'
        : 'No miner was free within the time that the request may wait; allow more with X-AITBC-Max-Wait, or pay more.',
      { retryAfterSeconds: NO_CAPACITY_RETRY_SECONDS },
    );
  return new Problem(
    'UPSTREAM_FAILED',
    `No miner could answer. The last one said: ${message ?? 'nothing'}`.slice(0, WORDS_MAX),
  );
};

export const stopping = (): Problem =>
  new Problem('SERVICE_UNAVAILABLE', 'This part of the coordinator is stopping; send the request again.', {
    retryAfterSeconds: 1,
  });

export const outOfTime = (seconds: number): Problem =>
  new Problem(
    'JOB_TIMED_OUT',
    `There was no answer within ${seconds} s, and a connection that says nothing is cut soon; stream the answer, or name a time with X-AITBC-Timeout.`,
  );

export const unreadable = (): Problem =>
  new Problem('UPSTREAM_FAILED', 'What the miner reported is not an answer to this request.');

export const disagrees = (): Problem =>
  new Problem('UPSTREAM_FAILED', 'The miner reported another answer than it had begun; ask again.');

export const brokenOff = (): Problem =>
  new Problem('UPSTREAM_FAILED', 'The miner was lost in the middle of its answer; ask again.');
