import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { jobsRoutes, newId } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  killServices,
  openPeers,
  scratchDirectory,
  serviceEnv,
  someone,
  spawnService,
  testEngine,
} from '@aitbc/testing';
import { afterEach, expect, test } from 'vitest';
import { type Stack, startStack } from './stack.fixture.ts';

/** In days. */
const SECOND = 1 / 86_400;
const SHORT = { KEEP_CONTENT_DAYS: String(SECOND), KEEP_JOBS_DAYS: String(2 * SECOND) };
const SLOW = { withinMs: 60_000 };
/** Beyond what a file of SQLite keeps before the first text that is not erased, so that texts and jobs leave, too. */
const OLD_JOBS = 1_700;
const LEAVE = OLD_JOBS - 1_500;
const WIPES = 12;

const MAIN = new URL('./main.ts', import.meta.url);
afterEach(killServices);

const image = (text: string) => Buffer.from(text).toString('base64');
const ended = (stack: Stack, client: ReturnType<Stack['client']>, texts: string[]) =>
  Promise.all(
    texts.map(async (text) => {
      const { id } = await client.submit({ job_type: 'ocr', parameters: { image_base64: image(text) } });
      await stack.call(client.caller).call(jobsRoutes.cancel, { params: { job_id: id } });
      return id;
    }),
  );
const envOf = (stack: Stack) => ({
  ...serviceEnv('jobs', scratchDirectory(), stack.redisUrl),
  DATABASE_URL: stack.databaseUrl,
});
const isInFiles = (stack: Stack, text: string): boolean =>
  ['', '-wal'].some((end) => {
    const path = stack.databaseUrl.slice('sqlite:///'.length) + end;
    return existsSync(path) && readFileSync(path).includes(text);
  });

test.each([
  'purge:content:before-commit@3',
  'purge:content:after-commit@2',
  'purge:parameters:before-commit',
  'purge:parameters:after-commit',
  'purge:jobs:before-commit@2',
  'purge:jobs:after-commit',
])(
  'killed at %s, the purge goes on: nothing is left, lost or counted twice',
  async (failpoint) => {
    const stack = await startStack();
    const client = stack.client();
    const region = newId();
    const miner = await stack.miner({ region });
    const { id } = await client.submit({ constraints: { region } });
    const done = await miner.complete(await miner.take());
    const { receipt } = done.body as { receipt: { id: string } };
    const jobs = Array.from({ length: OLD_JOBS / 2 }, () => ({
      job_type: 'ocr',
      parameters: { image_base64: image('an old picture') },
      ttl_seconds: 1,
    }));
    for (let n = 0; n < 2; n++) {
      const { body } = await client.http.call(jobsRoutes.submitBatch, { body: { jobs } });
      expect(body).toMatchObject({ items: jobs.map(() => ({ status: 201 })) });
    }
    const parameters = { text: 'Ich warte' };
    const waiting = await client.submit({ parameters, constraints: { region: newId() } });
    await stack.stop();

    const env = { ...envOf(stack), ...SHORT };
    const doomed = await spawnService(MAIN, { ...env, FAILPOINT: failpoint });
    expect(await once(doomed.child, 'exit')).toEqual([null, 'SIGKILL']);

    const { url, child } = await spawnService(MAIN, env);
    const http = callerOf(url, client.caller);
    const left = async () => {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      return Number(/purge_overdue_seconds\{what="jobs"[^}]*\} (\S+)/.exec(metrics)?.[1]);
    };
    // The oldest leave; of the others the rows wait for texts that stay before the first that is not erased.
    await eventually(
      async () => (await http.call(jobsRoutes.get, { params: { job_id: id } })).status === 404,
      SLOW,
    );
    await eventually(async () => (await left()) === 0, SLOW);
    const anyone = callerOf(url, someone(['client']));
    expect((await anyone.call(jobsRoutes.publicReceipts, { query: { job_id: id } })).body).toMatchObject({
      items: [{ id: receipt.id }],
    });
    expect((await http.call(jobsRoutes.get, { params: { job_id: waiting.id } })).body).toMatchObject({
      status: 'pending',
      parameters,
    });
    const usage = await http.call(jobsRoutes.usage, { query: {} });
    expect(usage.body).toMatchObject({
      now: { open_jobs: 1, content_bytes: Buffer.byteLength(JSON.stringify(parameters)) },
    });
    const kept: string[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await http.call(jobsRoutes.list, {
        query: { limit: 500, ...(cursor === undefined ? {} : { cursor }) },
      });
      if (!page.ok) throw new Error(JSON.stringify(page.body));
      kept.push(...page.body.items.map((job) => job.id));
      if (page.body.next_cursor === null) break;
      cursor = page.body.next_cursor;
    }
    expect(new Set(kept).size).toBe(kept.length);
    expect(kept.length).toBeLessThanOrEqual(OLD_JOBS + 2 - LEAVE);
    child.kill('SIGTERM');
    await once(child, 'exit');
  },
  120_000,
);

test.each(['wipe:before-commit@5', 'wipe:after-commit@5'])(
  'killed at %s, a wipe that was answered is done; another is whole or done, and done when it is asked for again',
  async (failpoint) => {
    const stack = await startStack();
    const client = stack.client();
    const texts = Array.from({ length: WIPES }, (_, n) => `what nobody shall read, ${n} of ${newId()}`);
    const ids = await ended(stack, client, texts);
    await stack.stop();

    const wipeAll = async (url: string) => {
      const replies = await Promise.allSettled(
        ids.map((job_id) => callerOf(url, client.caller).call(jobsRoutes.wipe, { params: { job_id } })),
      );
      return ids.filter((_, n) => {
        const reply = replies[n] as (typeof replies)[number];
        return reply.status === 'fulfilled' && reply.value.status === 200;
      });
    };
    const doomed = await spawnService(MAIN, { ...envOf(stack), FAILPOINT: failpoint });
    const died = once(doomed.child, 'exit');
    const answered = await wipeAll(doomed.url);
    expect(await died).toEqual([null, 'SIGKILL']);

    const peers = await openPeers(stack.redisUrl);
    const toGateway = peers.listen('gateway');
    const { url, child } = await spawnService(MAIN, envOf(stack));
    const http = callerOf(url, client.caller);
    const states = await Promise.all(ids.map((job_id) => http.call(jobsRoutes.get, { params: { job_id } })));
    for (const [n, state] of states.entries())
      if (state.status === 410) {
        // Its words may stand in the log until that is emptied, which a start does.
        if (testEngine === 'sqlite')
          await eventually(() => !isInFiles(stack, image(texts[n] as string)), SLOW);
      } else {
        expect(answered).not.toContain(ids[n]);
        expect(state).toMatchObject({
          status: 200,
          body: { parameters: { image_base64: image(texts[n] as string) } },
        });
      }
    expect(await wipeAll(url)).toEqual(ids);
    if (testEngine === 'sqlite') expect(texts.filter((text) => isInFiles(stack, image(text)))).toEqual([]);
    const told = () =>
      toGateway
        .flatMap((message) => (message.name === 'jobs.audited' ? [message.payload.object] : []))
        .sort();
    await eventually(() => told().length >= WIPES, SLOW);
    expect(told()).toEqual([...ids].sort());
    child.kill('SIGTERM');
    await once(child, 'exit');
    await peers.close();
  },
  120_000,
);
