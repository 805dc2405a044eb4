import { networkReason } from '../coordinator.ts';
import { type Reply, readText } from '../http-request.ts';
import { isRecord } from '../record.ts';
import { backendUnavailable, JobFailure } from './executor.ts';
import { cleanWords } from './openai-server.ts';

/** A whole answer in one piece: the text as JSON may write it, and what stands around it. */
const ANSWER_MAX_BYTES = 16 * 1024 * 1024;
/** How an event stream begins, whatever its content type says. */
const STREAM_START_LENGTH = 8;
const STREAM_START = /^\s*(data|event|id|retry|):/;
/** One line of a stream: a token with the log probabilities of twenty others is 3 KB, a picture some hundred. */
const LINE_MAX = 4 * 1024 * 1024;

/** The `data:` payloads of a server-sent event stream, in order. A connection that breaks rejects. */
export async function* eventData(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LINE_MAX)
      throw new JobFailure('BACKEND_ERROR', 'the model server sent an endless line', { retryable: true });
    for (const line of lines) {
      if (line.startsWith('data:')) yield line.slice(5).trim();
    }
  }
  // A server that closes without a last line break has still said its last line.
  if (rest.startsWith('data:')) yield rest.slice(5).trim();
}

const parseChunk = (data: string): Record<string, unknown> => {
  let body: unknown;
  try {
    body = JSON.parse(data);
  } catch {
    // falls through: the same failure as a chunk that is not an object
  }
  if (!isRecord(body))
    throw new JobFailure('BACKEND_ERROR', 'the model server sent something unreadable', { retryable: true });
  if (body.error === undefined || body.error === null) return body;
  const detail = isRecord(body.error) ? body.error.message : body.error;
  throw new JobFailure('BACKEND_ERROR', 'the model server failed while writing', {
    retryable: true,
    detail: typeof detail === 'string' ? cleanWords(detail) : undefined,
  });
};

/** A piece put back in front of the rest that it was read from. */
async function* joined(first: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

/**
 * Reads an answer to its end, piece by piece as it comes; one that comes whole is one piece.
 * @param take each piece: a chunk of a stream, or the whole answer
 * @returns whether the server said that the stream is over; a whole answer says nothing of it
 * @throws JobFailure when the server breaks off, fails, or sends what cannot be read
 */
export const readPieces = async (
  reply: Reply,
  signal: AbortSignal,
  take: (piece: Record<string, unknown>) => void,
): Promise<boolean> => {
  let isDone = false;
  try {
    const pieces = reply.body[Symbol.asyncIterator]();
    // By what it says and not by its content type: some servers stream as text/plain.
    let start = Buffer.alloc(0);
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
      start = Buffer.concat([start, next.value]);
      if (start.toString('utf8').trim().length >= STREAM_START_LENGTH) break;
    }
    const body = joined(start, pieces);
    if (STREAM_START.test(start.toString('utf8', 0, 64))) {
      for await (const data of eventData(body)) {
        if (data === '[DONE]') isDone = true;
        else if (data !== '') take(parseChunk(data));
      }
    } else {
      take(parseChunk(await readText({ ...reply, body }, ANSWER_MAX_BYTES)));
    }
  } catch (error) {
    if (error instanceof JobFailure || signal.aborted) throw error;
    throw backendUnavailable(`the model server broke off (${networkReason(error)})`);
  } finally {
    reply.drop();
  }
  return isDone;
};
