import { loadConfig, type Running } from '@aitbc/chassis';
import {
  type Caller,
  type JobResult,
  type JobSubmission,
  jobsRoutes,
  newId,
  type Payload,
} from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  openPeers,
  type Received,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
} from '@aitbc/testing';
import type { z } from 'zod';
import { configShape, dispatcherConfigShape, startDispatcher, startJobs } from './service.ts';

export type MinerWish = Partial<Payload<'miners.changed'>>;
export type Submission = z.input<typeof JobSubmission>;

/** A job that only {@link onlyFor} the same name runs: tests of one file share a stack and not their miners. */
export const workFor = (name: string) => ({
  job_type: 'llm_inference',
  parameters: { model: name, prompt: 'Why is the sky blue?' },
});
export const onlyFor = (name: string) => ({ capabilities: ['llm_inference'], models: [name] });

const fail = (reason: string): void => {
  throw new Error(reason);
};

/** The jobs service and its dispatchers in this process; the test speaks for miners and payments. */
export const startStack = async (
  options: {
    dispatchers?: number;
    env?: Record<string, string>;
    /** A broker of its own. */
    redisUrl?: string;
    /** Makes the file that jobs finds at its start. */
    prepare?: (databaseUrl: string) => Promise<void>;
  } = {},
) => {
  const redisUrl = options.redisUrl ?? (await scratchRedis());
  const directory = scratchDirectory();
  const env = (name: string) => ({ ...serviceEnv(name, directory, redisUrl), ...options.env });
  await options.prepare?.(env('jobs').DATABASE_URL as string);
  const startOne = () => startJobs(loadConfig(configShape, env('jobs')), fail);
  const startDispatch = () => startDispatcher(loadConfig(dispatcherConfigShape, env('dispatcher')), fail);
  let jobs = await startOne();
  const dispatchers: Running[] = [];
  for (let at = 0; at < (options.dispatchers ?? 1); at++) dispatchers.push(await startDispatch());
  const peers = await openPeers(redisUrl);
  const toPayments = peers.listen('payments');
  const toMiners = peers.listen('miners');

  const call = (caller: Caller) => callerOf(jobs.url, caller);

  const stack = {
    redisUrl,
    databaseUrl: env('jobs').DATABASE_URL as string,
    peers,
    toPayments,
    toMiners,
    get url() {
      return jobs.url;
    },
    call,
    dispatchers,
    startDispatch,
    /** @param between works on the file of jobs while nobody has it open. */
    restartJobs: async (between?: (databaseUrl: string) => void | Promise<void>) => {
      await jobs.stop();
      await between?.(env('jobs').DATABASE_URL as string);
      jobs = await startOne();
    },

    client: (changes: Partial<Caller> = {}) => {
      const caller = someone(['client'], changes);
      return {
        caller,
        get http() {
          return call(caller);
        },
        submit: async (submission: Partial<Submission> = {}) => {
          const reply = await call(caller).call(jobsRoutes.submit, {
            body: { job_type: 'language_detection', parameters: { text: 'Guten Tag' }, ...submission },
          });
          if (!reply.ok) throw new Error(JSON.stringify(reply.body));
          return reply.body;
        },
        get: async (jobId: string) => {
          const reply = await call(caller).call(jobsRoutes.get, { params: { job_id: jobId } });
          if (!reply.ok) throw new Error(JSON.stringify(reply.body));
          return reply.body;
        },
        status: async (jobId: string, waitSeconds = 0) => {
          const reply = await call(caller).call(jobsRoutes.status, {
            params: { job_id: jobId },
            query: { wait_seconds: waitSeconds },
          });
          if (!reply.ok) throw new Error(JSON.stringify(reply.body));
          return reply.body;
        },
      };
    },

    /** A registered miner, with an account of its own unless one is given. */
    miner: async (wish: MinerWish = {}, caller = someone(['miner'])) => {
      let offer: Payload<'miners.changed'> = {
        miner_id: newId(),
        account_id: caller.account_id,
        revision: 1,
        status: 'active',
        capabilities: ['language_detection', 'custom'],
        gpus: [],
        cuda_version: null,
        models: [],
        region: null,
        price_per_job_minor: 0,
        concurrency: 4,
        reputation: 1,
        ...wish,
      };
      await peers.send('miners.changed', offer, 'jobs');
      return {
        id: offer.miner_id,
        caller,
        get http() {
          return call(caller);
        },
        change: async (changes: MinerWish) => {
          offer = { ...offer, ...changes, revision: offer.revision + 1 };
          await peers.send('miners.changed', offer, 'jobs');
        },
        poll: async (query: { wait_seconds?: number; max_jobs?: number } = {}, signal?: AbortSignal) => {
          const reply = await call(caller).call(jobsRoutes.poll, {
            query: { wait_seconds: 10, miner_id: offer.miner_id, ...query },
            ...(signal === undefined ? {} : { signal }),
          });
          if (!reply.ok) throw new Error(JSON.stringify(reply.body));
          return reply.body.items;
        },
        /** Polls until there is one. */
        take: async () => {
          const [job] = await eventually(async () => {
            const items = await stack.pollOf(caller, offer.miner_id);
            return items.length > 0 && items;
          });
          return job as NonNullable<typeof job>;
        },
        report: (result: z.input<typeof JobResult>) => call(caller).call(jobsRoutes.result, { body: result }),
        complete: (job: { id: string; lease: string }, result: unknown = { ok: true }) =>
          call(caller).call(jobsRoutes.result, {
            body: { job_id: job.id, lease: job.lease, status: 'completed', result },
          }),
      };
    },

    pollOf: async (caller: Caller, minerId: string) => {
      const reply = await call(caller).call(jobsRoutes.poll, {
        query: { wait_seconds: 5, miner_id: minerId },
      });
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      return reply.body.items;
    },

    /** Waits until a message was heard. */
    heard: <N extends Received['name']>(
      mail: readonly Received[],
      name: N,
      matches: (payload: Payload<N>) => boolean,
    ): Promise<Payload<N>> =>
      eventually(() => {
        const found = mail.find((message) => message.name === name && matches(message.payload as Payload<N>));
        return found === undefined ? undefined : (found.payload as Payload<N>);
      }) as Promise<Payload<N>>,

    stop: async () => {
      await jobs.stop();
      for (const dispatcher of dispatchers) await dispatcher.stop();
      await peers.close();
    },
  };
  return stack;
};
export type Stack = Awaited<ReturnType<typeof startStack>>;

/** A job for a model. */
export const ofModel = (model: string) => ({
  job_type: 'llm_inference',
  parameters: { model, prompt: 'Why is the sky blue?' },
});

export const submitBatch = async (client: ReturnType<Stack['client']>, jobs: readonly object[]) => {
  const reply = await client.http.call(jobsRoutes.submitBatch, { body: { jobs: [...jobs] } });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body.items;
};
