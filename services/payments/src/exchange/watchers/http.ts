import type { z } from 'zod';
import { SourceError } from './watcher.ts';

/** A node that takes longer is as good as away; it is asked again. */
const ANSWER_WITHIN_MS = 10_000;
/** A block of mainnet in full detail has up to some 20 MB of JSON. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

const reasonOf = (error: unknown): string => {
  const { name, message, cause } = error as Error & { cause?: { code?: string } };
  return name === 'TimeoutError' ? `no answer in ${ANSWER_WITHIN_MS / 1_000} s` : (cause?.code ?? message);
};

/**
 * Asks a source. @param name for people, without credentials.
 * @throws SourceError when there is no answer
 */
export const ask = async (
  name: string,
  url: string,
  init: RequestInit,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> => {
  try {
    const response = await fetch(url, {
      ...init,
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_WITHIN_MS)]),
    });
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > ANSWER_BYTES_MAX) throw new Error('the answer is too long');
    }
    return { status: response.status, text };
  } catch (error) {
    throw new SourceError(`${name} does not answer: ${reasonOf(error)}`);
  }
};

/** @throws SourceError when the answer is not what the source's documentation says. */
export const understand = <S extends z.ZodType>(name: string, schema: S, text: string): z.output<S> => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new SourceError(`${name} does not answer with JSON`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new SourceError(`${name} answers what was not expected: ${issue?.path.join('.')}: ${issue?.message}`);
};

/** Does one after the other, at most `width` at a time. */
export const inTurns = async <T, R>(
  items: readonly T[],
  width: number,
  run: (item: T) => Promise<R>,
): Promise<R[]> => {
  const results: R[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: Math.min(width, items.length) }, async () => {
      while (next < items.length) {
        const index = next;
        next += 1;
        results[index] = await run(items[index] as T);
      }
    }),
  );
  return results;
};
