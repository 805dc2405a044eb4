import { expect, test } from 'vitest';
import { startModelServer } from '../../clients/miner/src/testing/model-server.ts';
import { type Coordinator, passes } from '../coordinator.ts';
import { funded, minerOf } from './accounts.ts';
import type { Program } from './program.ts';

/** What the host reads of a model server's answer. */
interface Written {
  readonly choices?: readonly { readonly text?: string; readonly message?: { readonly content: string } }[];
  readonly error?: { readonly message: string };
  readonly usage?: { readonly completion_tokens: number };
}

/**
 * The miner host of the original with its model server: one thread that asks health, reads the list of models, registers
 * under its key, and then polls, works without a sign, and reports.
 * @param jobs after so many it ends
 */
const runHost = async (program: Program, key: string, modelUrl: string, jobs: number): Promise<void> => {
  const headers = { 'x-miner-id': key };
  const health = await program.get('/v1/health');
  if (health.body.status !== 'ok') throw new Error('the coordinator is away');
  const list = (await (await fetch(`${modelUrl}/models`)).json()) as { data: { id: string }[] };
  const registered = await program.post(
    `/v1/miners/register?miner_id=${key}`,
    {
      capabilities: {
        gpu: { model: 'NVIDIA GeForce RTX 4060 Ti', memory_gb: 16_376, cuda_version: '535.104.05' },
        ollama: { available: true, models: list.data.map(({ id }) => id) },
        gpu_memory: 16_376,
      },
      concurrency: 1,
      region: null,
    },
    headers,
  );
  // Without a text it ends.
  if (registered.status !== 200) throw new Error(`registration: ${registered.text}`);
  registered.body.session_token.slice(0, 10);

  const ask = async (payload: Record<string, unknown>): Promise<object> => {
    const { type, model, prompt, messages } = payload;
    const isChat = type === 'chat';
    const response = await fetch(`${modelUrl}/${isChat ? 'chat/completions' : 'completions'}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, stream: false, ...(isChat ? { messages } : { prompt }) }),
    });
    const answer = (await response.json()) as Written;
    const choice = answer.choices?.[0];
    if (choice === undefined) return { status: 'failed', error: answer.error?.message };
    const tokens = answer.usage?.completion_tokens ?? 0;
    return {
      status: 'completed',
      model,
      output: choice.text ?? choice.message?.content,
      tokens_processed: tokens,
    };
  };

  for (let done = 0; done < jobs; ) {
    const beat = await program.post('/v1/miners/heartbeat', { inflight: 0, status: 'active' }, headers);
    if (beat.status !== 200) throw new Error(`heartbeat: ${beat.text}`);
    const { status, body } = await program.post('/v1/miners/poll', { max_wait_seconds: 5 }, headers);
    if (status === 204) continue;
    const result = await ask(body.payload);
    const metrics = { gpu_utilization: 85.5, gpu: 'RTX 4060 Ti', aitbc_earned: 1_000 };
    const said = await program.post(`/v1/miners/${body.job_id}/result`, { result, metrics }, headers);
    if (said.status !== 200) throw new Error(`result: ${said.text}`);
    done += 1;
  }
};

export const hosting = (given: () => Coordinator): void => {
  test('a miner host runs with its model server: what that answers comes back to whoever asked', async () => {
    const coordinator = given();
    const { key: minerKey, program } = await minerOf(coordinator);
    const { program: cli } = await funded(coordinator);
    const models = await startModelServer(['served:latest']);
    try {
      models.plan(({ prompt }) =>
        prompt === 'too much' ? { error: { status: 500, message: 'out of memory' } } : undefined,
      );
      const submit = async (payload: object) => {
        const job = { model: 'served:latest', ...payload };
        return (await cli.post('/v1/jobs', { payload: job, payment_amount: 0.25 })).body.job_id as string;
      };
      const hosted = runHost(program, minerKey, models.url, 3);
      const ids = [
        await submit({ type: 'inference', prompt: 'Hi' }),
        await submit({ type: 'chat', messages: [{ role: 'user', content: 'Hi' }] }),
        await submit({ type: 'inference', prompt: 'too much' }),
      ];
      await hosted;
      const [written, chatted, failed] = await Promise.all(ids.map((id) => cli.get(`/v1/jobs/${id}`)));
      for (const job of [written, chatted])
        expect(job?.body).toMatchObject({
          state: 'COMPLETED',
          result: { output: 'Hello, world', text: 'Hello, world', model: 'served:latest' },
        });
      expect(failed?.body).toMatchObject({ state: 'FAILED', error: 'MINER_FAILED: out of memory' });
      expect(models.seen.completions.map(({ prompt }) => prompt).sort()).toEqual(['Hi', 'too much']);
      expect(models.seen.chats).toHaveLength(1);
      await passes(async () => {
        expect((await cli.get(`/v1/jobs/${ids[0]}/payment`)).body.status).toBe('released');
        expect((await cli.get(`/v1/jobs/${ids[2]}/payment`)).body.status).toBe('refunded');
      });
    } finally {
      await models.close();
    }
  });
};
