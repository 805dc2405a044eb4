import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { routes } from '@aitbc/contracts';
import { eventually, keepOutput } from '@aitbc/testing';
import { afterAll, expect, test } from 'vitest';
import { startModelServer } from '../../clients/miner/src/testing/model-server.ts';
import { type Coordinator, must } from '../coordinator.ts';
import { programOf } from './program.ts';

const AGENT = fileURLToPath(new URL('../../clients/miner/src/main.ts', import.meta.url));
const ORIGINAL = fileURLToPath(new URL('miner-process.ts', import.meta.url));
const MODEL = 'of-both';
const JOBS = 12;
/** What a killed worker costs: the original's gives no sign that it is dead. */
const TIMEOUT_SECONDS = 3;

/** A miner of the original and our agent take from one queue, and are killed in the middle of it. */
export const oneQueue = (given: () => Coordinator): void => {
  const children: ChildProcess[] = [];
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL');
  });

  test('a miner of the original and ours share one queue, and under kill −9 each job has one result', async () => {
    const { url, newAccount } = given();
    const [client, original, own] = [
      await newAccount(['client']),
      await newAccount(['miner']),
      await newAccount(['miner']),
    ];
    const models = await startModelServer([MODEL]);
    // Long enough to be killed in.
    models.script.firstByteMs = 300;
    const start = (args: string[], env: Record<string, string>): ChildProcess => {
      const child = spawn(process.execPath, args, {
        env: { ...process.env, ...env },
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      children.push(child);
      keepOutput(child);
      return child;
    };
    /** Kills itself in the middle of its n-th job. */
    const startOriginal = (dieAt: number): ChildProcess => {
      const child = start([ORIGINAL], { URL: url, KEY: original.key, MODEL });
      let taken = 0;
      createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
        if (line.startsWith('took') && ++taken === dieAt) child.kill('SIGKILL');
      });
      return child;
    };
    const startAgent = (): ChildProcess =>
      start([AGENT, '--coordinator', url, '--llm-url', models.url, '--name', 'ours'], {
        AITBC_MINER_KEY: own.key,
      });
    /** Our agent is in the middle of a job. */
    const modelIsAsked = () => {
      const before = models.seen.chats.length;
      return eventually(() => models.seen.chats.length > before, { withinMs: 40_000 });
    };
    const isDead = (child: ChildProcess) =>
      eventually(() => child.signalCode === 'SIGKILL', { withinMs: 40_000 });

    try {
      const program = programOf({ url }, client.key);
      const ids: string[] = [];
      const submit = async (count: number) => {
        for (let at = 0; at < count; at++) {
          const job = must(
            await client.caller.call(routes.jobs.submit, {
              body: {
                job_type: 'llm_inference',
                parameters: { model: MODEL, prompt: `number ${ids.length}` },
                timeout_seconds: TIMEOUT_SECONDS,
                max_attempts: 10,
              },
            }),
          );
          ids.push(job.id);
        }
      };
      await submit(JOBS / 2);
      await isDead(startOriginal(2));
      const agent = startAgent();
      await modelIsAsked();
      agent.kill('SIGKILL');
      await submit(JOBS / 2);
      await isDead(startOriginal(1));
      startAgent();
      await modelIsAsked();
      startOriginal(0);
      await eventually(
        async () => {
          const { total } = (await program.get('/v1/jobs?status=COMPLETED&limit=1')).body;
          return total === JOBS;
        },
        { withinMs: 60_000, everyMs: 250 },
      );

      const miners = new Set<string>();
      for (const [number, id] of ids.entries()) {
        const receipts = must(
          await client.caller.call(routes.jobs.receipts, { params: { job_id: id } }),
        ).items;
        expect([id, receipts.length]).toEqual([id, 1]);
        miners.add(receipts[0]?.miner_id as string);
        const { result } = (await program.get(`/v1/jobs/${id}`)).body;
        // Both kinds of client read both kinds of miner.
        expect(result.output).toBe(result.text);
        if (result.output.startsWith('original')) expect(result.output).toBe(`original: number ${number}`);
      }
      expect(miners.size).toBe(2);
      const counted = async () => {
        const [a, b] = [original, own].map(async ({ caller }) =>
          must(await caller.call(routes.miners.me, { query: {} })).items.reduce(
            (sum, { jobs_completed }) => sum + jobs_completed,
            0,
          ),
        );
        return ((await a) ?? 0) + ((await b) ?? 0);
      };
      expect(await eventually(async () => ((await counted()) === JOBS ? JOBS : undefined))).toBe(JOBS);
    } finally {
      for (const child of children) child.kill('SIGKILL');
      await models.close();
    }
  }, 150_000);
};
