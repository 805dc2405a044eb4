import { request } from 'node:http';
import { request as requestTls } from 'node:https';
import type { Agents } from './agents.ts';

/** Metrics of a service are 100 KB or so. */
const ANSWER_MAX_BYTES = 16 * 1024 * 1024;

export interface Question {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly timeoutMs: number;
}

/** A question of the gateway itself: over the same connections, and with the same trust, as what it passes on. */
export const createAsk =
  (agents: Agents) =>
  (url: URL, question: Question): Promise<Response> =>
    new Promise((resolve, reject) => {
      const { method = 'GET', headers = {}, body, timeoutMs } = question;
      const asked = (url.protocol === 'https:' ? requestTls : request)(url, {
        method,
        headers,
        agent: agents.of(url),
        signal: AbortSignal.timeout(timeoutMs),
      });
      asked.on('error', (error) => {
        agents.tellFault(url, error);
        reject(error);
      });
      asked.on('response', (answer) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > ANSWER_MAX_BYTES) asked.destroy(new Error(`${url.host} answers more than can be kept`));
          else chunks.push(chunk);
        });
        answer.on('error', reject);
        answer.on('end', () => {
          const told = Object.entries(answer.headers).flatMap(([name, value]): [string, string][] =>
            value === undefined ? [] : [[name, String(value)]],
          );
          resolve(
            new Response(Buffer.concat(chunks), { status: answer.statusCode as number, headers: told }),
          );
        });
      });
      asked.end(body);
    });
export type Ask = ReturnType<typeof createAsk>;
