#!/usr/bin/env node
import { availableParallelism } from 'node:os';
import { createAgent } from './agent.ts';
import { createCoordinator } from './coordinator.ts';
import { createChatCompletion, createTextCompletion } from './executors/completion.ts';
import { createCustom } from './executors/custom.ts';
import { createEmbedding } from './executors/embedding.ts';
import type { Executor } from './executors/executor.ts';
import { createLanguageDetection } from './executors/language_detection.ts';
import { createLlmInference } from './executors/llm_inference.ts';
import { createOcr } from './executors/ocr.ts';
import { createOpenAiServer } from './executors/openai-server.ts';
import { createOcrPool } from './executors/tesseract.ts';
import { readHardware } from './hardware.ts';
import { createLog, type Log } from './log.ts';
import { AGENT, type ExecutorType, type MinerOptions, parseOptions } from './options.ts';
import { DEFAULT_TIMING } from './pacing.ts';

/**
 * Ctrl-C in a terminal reaches the whole group, and a parent such as npm passes it on: the same request, twice within
 * milliseconds. Only a signal after this pause is a second wish.
 */
const SECOND_SIGNAL_MS = 500;

const createExecutors = (options: MinerOptions): Executor[] => {
  const server = createOpenAiServer(options.llmUrl, options.llmKey, options.embeddingModels);
  const makers: Record<ExecutorType, () => Executor> = {
    chat_completion: () => createChatCompletion(server),
    text_completion: () => createTextCompletion(server),
    llm_inference: () => createLlmInference(server),
    embedding: () => createEmbedding(server),
    // Recognition keeps a core busy, so more engines than cores would only take memory.
    ocr: () => createOcr(createOcrPool(Math.min(options.concurrency, availableParallelism()))),
    language_detection: () => createLanguageDetection(),
    custom: () => createCustom(options.allowCustom),
  };
  return options.only.map((type) => makers[type]());
};

const isLoopback = ({ hostname }: URL): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.');

const greet = (options: MinerOptions, log: Log): void => {
  const { name, coordinator, concurrency } = options;
  log.info('started', `${AGENT} "${name}" for ${coordinator}, up to ${concurrency} jobs at once`, {
    name,
    coordinator,
  });
  const url = new URL(coordinator);
  if (url.protocol === 'http:' && !isLoopback(url)) {
    log.warn(
      'plain-http',
      'the coordinator is addressed over plain http: the key and all jobs can be read on the way',
    );
  }
};

const main = async (): Promise<void> => {
  const options = parseOptions(process.argv);
  // A supervisor that died takes the other end of the pipe with it; the drain has to go on without a log.
  process.stdout.on('error', () => {});
  const log = createLog({
    level: options.logLevel,
    json: options.json,
    write: (line) => void process.stdout.write(`${line}\n`),
  });
  greet(options, log);

  const hardware = await readHardware(process.env);
  for (const { model, vram_gb, count } of hardware.gpus) {
    log.info(
      'gpu',
      `gpu: ${count} × ${model}, ${vram_gb} GB${hardware.cudaVersion ? `, CUDA ${hardware.cudaVersion}` : ''}`,
    );
  }
  for (const note of hardware.notes) log.info('gpu', `gpu: ${note}`);
  if (hardware.gpus.length === 0) log.info('gpu', 'gpu: none registered; jobs that ask for one go elsewhere');

  const coordinator = createCoordinator({
    baseUrl: options.coordinator,
    key: options.key,
    agent: AGENT,
    onReachable: (isReachable, reason) => {
      if (isReachable) log.info('reachable', 'the coordinator answers again');
      else
        log.warn(
          'unreachable',
          `the coordinator does not answer (${reason}); trying again, results are kept`,
        );
    },
  });
  const agent = createAgent({
    machine: {
      name: options.name,
      address: options.address,
      gpus: [...hardware.gpus],
      ...(hardware.cudaVersion === undefined ? {} : { cuda_version: hardware.cudaVersion }),
      ...(options.region === undefined ? {} : { region: options.region }),
      ...(options.price === undefined ? {} : { price_per_job: options.price }),
    },
    concurrency: options.concurrency,
    executors: createExecutors(options),
    coordinator,
    log,
    timing: { ...DEFAULT_TIMING, drainMs: options.drainSeconds * 1000 },
  });

  let first: { signal: string; at: number } | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    const now = performance.now();
    if (first === undefined) {
      first = { signal, at: now };
      agent.drain(signal);
    } else if (first.signal === signal && now - first.at >= SECOND_SIGNAL_MS) {
      agent.hurry(signal);
    }
  };
  const onDisconnect = (): void => agent.drain('the supervisor is gone');
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  // A listener keeps the channel open, and with it the process: only where there is one, and not beyond the work.
  if (process.connected) process.on('disconnect', onDisconnect);

  process.exitCode = await agent.run();
  process.off('SIGINT', onSignal);
  process.off('SIGTERM', onSignal);
  process.off('disconnect', onDisconnect);
  process.channel?.unref();
};

await main();
