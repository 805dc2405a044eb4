import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import type { Stack } from '../scripts/stack.ts';
import { call, demand, median, percentile } from './load.ts';

/** What a small model does on a good card: 50 tokens a second, after a fifth of a second. */
const FIRST_TOKEN_MS = 200;
const BETWEEN_MS = 20;
const TOKENS = 50;

const MINER = join(import.meta.dirname, '../clients/miner/src/main.ts');
const agent = new Agent({ keepAlive: true, maxSockets: 512 });
const body = JSON.stringify({
  model: 'bench',
  stream: true,
  messages: [{ role: 'user', content: 'Tell me a story' }],
});

interface Taken {
  /** From the request to the first token, and to the last byte. */
  readonly firstMs: number;
  readonly wholeMs: number;
  readonly tokens: number;
}

/** One streamed chat. @throws when it did not come whole */
const chat = (url: string, key: string): Promise<Taken> =>
  new Promise((resolve, reject) => {
    const at = performance.now();
    let firstMs: number | undefined;
    let text = '';
    const sent = request(
      `${url}/chat/completions`,
      {
        method: 'POST',
        agent,
        headers: {
          authorization: `Bearer ${key}`,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
        },
      },
      (response) => {
        response.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
          if (firstMs === undefined && text.includes('word0')) firstMs = performance.now() - at;
        });
        response.on('end', () => {
          const tokens = text.match(/word\d+ /g)?.length ?? 0;
          if (firstMs === undefined || tokens !== TOKENS || !text.includes('[DONE]'))
            reject(new Error(`answered ${response.statusCode} with ${tokens} tokens: ${text.slice(-300)}`));
          else resolve({ firstMs, wholeMs: performance.now() - at, tokens });
        });
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });

/** Keeps `width` streams open, each followed by the next; they begin spread over the time of one. */
const streams = async (width: number, rounds: number, once: () => Promise<Taken>): Promise<Taken[]> => {
  const taken: Taken[] = [];
  const wholeMs = FIRST_TOKEN_MS + TOKENS * BETWEEN_MS;
  await Promise.all(
    Array.from({ length: width }, async (_, lane) => {
      await new Promise((resolve) => setTimeout(resolve, (wholeMs * lane) / width));
      for (let round = 0; round < rounds; round++) taken.push(await once());
    }),
  );
  return taken;
};

/**
 * Streams through the door, the agent and a model server, and in turns straight from the same server.
 * @param size.width streams at once
 */
export const streaming = async (
  stack: Stack,
  keys: { client: string; miner: string },
  size: { width: number; rounds: number; turns: number },
) => {
  const children: ChildProcess[] = [];
  try {
    const server = fork(join(import.meta.dirname, 'model-server.ts'), [
      String(FIRST_TOKEN_MS),
      String(BETWEEN_MS),
      String(TOKENS),
    ]);
    children.push(server);
    const [modelUrl] = (await once(server, 'message')) as [string];
    const miner = spawn(
      process.execPath,
      [
        MINER,
        '--coordinator',
        stack.url,
        '--llm-url',
        modelUrl,
        '--concurrency',
        '64',
        '--only',
        'chat_completion',
      ],
      { env: { ...process.env, AITBC_MINER_KEY: keys.miner }, stdio: 'ignore' },
    );
    children.push(miner);
    const until = performance.now() + 60_000;
    for (;;) {
      const { body: models } = demand(await call(stack.url, 'GET', '/v1/models', keys.client), 200);
      if (models.data.length > 0) break;
      if (performance.now() > until) throw new Error('the miner never offered its model');
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    const ours = () => chat(`${stack.url}/v1`, keys.client);
    const direct = () => chat(modelUrl, 'none');
    // Until the processes have compiled what they run.
    await streams(size.width, 2, ours);
    await streams(size.width, 1, direct);
    const through: Taken[][] = [];
    const straight: Taken[][] = [];
    for (let turn = 0; turn < size.turns; turn++) {
      through.push(await streams(size.width, size.rounds, ours));
      straight.push(await streams(size.width, size.rounds, direct));
    }
    const of = (turns: Taken[][], share: number, field: 'firstMs' | 'wholeMs'): number =>
      median(
        turns.map((taken) =>
          percentile(
            taken.map((one) => one[field]),
            share,
          ),
        ),
      );
    const all = through.flat();
    return {
      streams: all.length,
      tokens: all.reduce((sum, { tokens }) => sum + tokens, 0),
      first: {
        ours: [of(through, 0.5, 'firstMs'), of(through, 0.99, 'firstMs')] as const,
        direct: [of(straight, 0.5, 'firstMs'), of(straight, 0.99, 'firstMs')] as const,
      },
      whole: { ours: of(through, 0.5, 'wholeMs'), direct: of(straight, 0.5, 'wholeMs') },
    };
  } finally {
    for (const child of children) child.kill('SIGTERM');
  }
};
