import type { Context } from '@aitbc/chassis';
import { type AnyRoute, type Problem, toOpenAiError } from '@aitbc/contracts';
import { beginEvents, createBackpressure, sendNow } from '../server-sent-events.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';
import { answerId, createdSeconds, type OfJob } from './answers.ts';
import type { Asked } from './asked.ts';
import type { Attendance } from './attend.ts';
import { createChunks } from './chunks.ts';
import type { Fields } from './written.ts';

/** So long the status waits for the first word, so that what fails early fails with a status of its own... */
const STATUS_WAITS_MS = 10_000;
/** ...and so often something is said from then on: clouds and proxies cut what is silent for a minute. */
const COMMENT_EVERY_MS = 10_000;

const OBJECT = { chat: 'chat.completion.chunk', completion: 'text_completion' } as const;

/** Writes an answer while it is made. */
export const createLive = (
  work: Work,
  asked: Asked & { kind: 'chat' | 'completion' },
  jobId: string,
  response: Context<AnyRoute>['response'],
) => {
  const chunks = createChunks(asked.kind);
  let attendance: Attendance | undefined;
  let head: Fields | undefined;
  let spokeAt = performance.now();
  /** Some of it was not to be had any more: the rest comes from the result. */
  let isBehind = false;
  let isLost = false;

  const begin = (): void => {
    if (!response.headersSent) beginEvents(response);
  };
  const write = (text: string): void => {
    begin();
    spokeAt = performance.now();
    response.write(text);
  };
  const writeData = (data: Fields): void => write(`data: ${JSON.stringify(data)}\n\n`);
  const writeChunk = (chunk: Fields, job: Pick<JobRow, 'created_at_ms'> | undefined): void => {
    head ??= {
      id: answerId(asked.kind, jobId),
      object: OBJECT[asked.kind],
      created: createdSeconds(job ?? { created_at_ms: Date.now() }),
      model: asked.model,
    };
    writeData({ ...head, ...chunk });
  };

  const say = (text: string): void => {
    const chunk = chunks.of(JSON.parse(text));
    if (chunk !== null) writeChunk(chunk, attendance?.job());
  };
  /** Writes what there is as long as there is room. */
  const writeOutput = (): void => {
    while (attendance !== undefined && !isBehind && !isLost && !response.destroyed) {
      if (!backpressure.hasRoom()) return;
      const output = attendance.reader.read();
      if (output === undefined) return;
      if (output.kind === 'chunks') for (const text of output.chunks) say(text);
      else if (output.kind === 'gap') isBehind = true;
      // What was said of a lost attempt cannot be taken back, and another miner writes another text.
      else if (chunks.hasText()) {
        isLost = true;
        attendance.giveUp();
      }
    }
  };
  const push = (): void => {
    writeOutput();
    sendNow(response);
  };
  const backpressure = createBackpressure(work, response, push);

  const comment = async (): Promise<void> => {
    const job = attendance?.job();
    const before = job?.status === 'pending' && job.is_funded === 1 ? await work.queuePosition(job) : null;
    if (performance.now() - spokeAt < COMMENT_EVERY_MS / 2 || response.writableEnded) return;
    write(before === null ? ': working\n\n' : `: queued, position ${before + 1}\n\n`);
  };
  const early = setTimeout(() => void comment().catch(begin), STATUS_WAITS_MS);
  const ticker = setInterval(() => {
    if (response.headersSent && performance.now() - spokeAt >= COMMENT_EVERY_MS)
      void comment().catch(() => {});
  }, 1_000);

  return {
    push,
    /** Before this nothing is read. */
    follow: (given: Attendance): void => {
      attendance = given;
      push();
    },
    isLost: (): boolean => isLost,
    hasText: chunks.hasText,
    /** @returns false when the result is none, or another than was begun; nothing more was written then. */
    finish: (job: JobRow, result: unknown, of: OfJob): 'done' | 'unreadable' | 'disagrees' => {
      if (!isBehind) push();
      const rest = chunks.rest(result);
      if (rest === null) return 'unreadable';
      if (!rest.agrees) return 'disagrees';
      for (const [at, chunk] of rest.chunks.entries()) {
        const isLast = at === rest.chunks.length - 1;
        writeChunk(isLast && !asked.includesUsage ? { ...chunk, aitbc: of } : chunk, job);
      }
      if (asked.includesUsage)
        writeChunk(
          { choices: [], ...(rest.usage === undefined ? {} : { usage: rest.usage }), aitbc: of },
          job,
        );
      write('data: [DONE]\n\n');
      response.end();
      return 'done';
    },
    /** After the headers left, an error is said in the stream, which ends without `[DONE]`. */
    fail: (problem: Problem): void => {
      writeData(toOpenAiError(problem).body);
      response.end();
    },
    end: (): void => {
      clearTimeout(early);
      clearInterval(ticker);
      backpressure.end();
    },
  };
};
export type Live = ReturnType<typeof createLive>;
