import type { JobEvent } from '../contract.ts';
import { AitbcError, ConnectionError } from '../errors.ts';
import { parseData, receive } from '../event-stream.ts';
import { isPassing, RETRY_AFTER_MAX_SECONDS, type RequestOptions, type Transport } from '../http.ts';
import { backOff, sleep } from '../waiting.ts';

export interface WatchOptions extends Omit<RequestOptions, 'idempotencyKey'> {
  /** The id of the last event that you have: only those after it come, and no deltas before it. */
  readonly lastEventId?: number | undefined;
}

/** Failures in a row before it gives up: with the longest wait between them, about two minutes. */
const RETRIES = 20;

const ENDS = new Set<string>(['completed', 'failed', 'cancelled', 'expired']);

/**
 * The events of a job until its end, and what its miner puts out meanwhile (`delta`); comes back by itself after a cut, where
 * it was. After `restarted` all deltas before it are void, after `gap` some are missing: the result holds everything.
 */
export async function* watch(
  transport: Transport,
  jobId: string,
  { lastEventId, signal, ...call }: WatchOptions,
): AsyncGenerator<JobEvent, void, undefined> {
  let last = lastEventId === undefined ? undefined : String(lastEventId);
  /** In a row, without a byte in between: a proxy that cuts what waits long is no failure. */
  let failed = 0;
  const heard = () => {
    failed = 0;
  };
  for (;;) {
    let hasEnded = false;
    const open = async (leaving: AbortSignal): Promise<Response> => {
      const headers = last === undefined ? call.headers : { ...call.headers, 'last-event-id': last };
      const options = { ...call, ...(headers === undefined ? {} : { headers }), signal: leaving };
      const response = await transport.open('jobs.events', { params: { job_id: jobId } }, options);
      // It has ended, and we have its last event.
      hasEnded = response.status === 204;
      return response;
    };
    let error = new ConnectionError({
      code: 'CONNECTION_FAILED',
      message: 'The event stream ended before the job.',
    });
    try {
      for await (const received of receive(open, signal, heard)) {
        if (received.kind === 'comment') continue;
        last = received.id ?? last;
        const event = parseData(received.data) as JobEvent;
        yield event;
        if (ENDS.has(event.type)) return;
      }
      if (hasEnded) return;
    } catch (caught) {
      if (!(caught instanceof AitbcError)) throw caught;
      error = caught;
    }
    const isOver = failed >= RETRIES || (error.retryAfterSeconds ?? 0) > RETRY_AFTER_MAX_SECONDS;
    if (!isPassing(error) || isOver) throw error;
    await sleep(backOff(failed++, error.retryAfterSeconds), signal);
  }
}
