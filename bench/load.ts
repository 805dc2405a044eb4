import { Agent, request } from 'node:http';

/** Lean on purpose: the load and the system share two cores, and what the load burns is lost to both sides. */
const agent = new Agent({ keepAlive: true, maxSockets: 512 });

export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: the bench reads what the contracts promise; the tests check it
  body: any;
}

/** One request with a JSON body over a kept connection. */
export const call = (
  url: string,
  method: 'GET' | 'POST',
  path: string,
  key: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const sent = request(
      url + path,
      {
        method,
        agent,
        headers: {
          'x-api-key': key,
          ...headers,
          ...(text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const answer = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, body: answer === '' ? undefined : JSON.parse(answer) });
        });
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(text);
  });

/** @throws unless the status is one of `expected`: a bench of refusals measures nothing. */
export const demand = (answer: Answer, ...expected: number[]): Answer => {
  if (!expected.includes(answer.status))
    throw new Error(`answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer;
};

/** Asks once. @returns the reader of a metric by its name: its first sample, NaN without one. */
export const readMetrics = async (url: string): Promise<(name: string) => number> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return (name) => Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
};

/** @param values in any order; @param share 0–1 */
export const percentile = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
};

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** Keeps `width` calls in flight for `seconds`. @returns calls a second and each call's milliseconds */
export const hammer = async (width: number, seconds: number, once: () => Promise<unknown>) => {
  const took: number[] = [];
  const startedAt = performance.now();
  const until = startedAt + seconds * 1_000;
  const loop = async () => {
    while (performance.now() < until) {
      const at = performance.now();
      await once();
      took.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: width }, loop));
  return { perSecond: took.length / ((performance.now() - startedAt) / 1_000), took };
};
