import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, createClient } from '@aitbc/contracts';

/** What a balancer or a stopping process answers; all of them promise that nothing was done. */
const PASSING = new Set([502, 503, 504]);
/** As most client libraries wait before their first retry, about. */
const RETRY_AFTER_MS = 500;

/** A caller that knows several gateways, as through a balancer. */
export interface RetryingOnce extends Client {
  readonly calls: number;
  /** How often the first answer of a route was none, by what it was. */
  readonly repeated: Map<string, number>;
  /** Calls that got no answer twice. */
  readonly failed: string[];
}

/** Goes to the gateways in turn, and once more to the next when one fails. What creates needs an Idempotency-Key. */
export const retryingOnce = (urls: readonly string[], key: string): RetryingOnce => {
  const gateways = urls.map((url) => createClient(url, { 'x-api-key': key }));
  const repeated = new Map<string, number>();
  const failed: string[] = [];
  let calls = 0;
  const call: Client['call'] = async (route, input) => {
    calls += 1;
    const turn = calls;
    let why = '';
    for (const attempt of [0, 1]) {
      const gateway = gateways[(turn + attempt) % gateways.length] as Client;
      try {
        const answer = await gateway.call(route, input);
        if (!PASSING.has(answer.status)) return answer;
        why = String(answer.status);
      } catch (error) {
        if (input.signal?.aborted === true) throw error;
        why = `${(error as Error).message} ${((error as Error).cause as Error | undefined)?.message ?? ''}`;
      }
      const what = `${route.method} ${route.path}: ${why}`;
      if (attempt === 1) failed.push(what);
      else repeated.set(what, (repeated.get(what) ?? 0) + 1);
      await sleep(RETRY_AFTER_MS);
    }
    throw new Error(`${route.method} ${route.path} failed twice: ${why}`);
  };
  return {
    call,
    get calls() {
      return calls;
    },
    repeated,
    failed,
  };
};
