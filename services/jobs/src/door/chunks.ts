import { isRecord } from '@aitbc/contracts';
import { createTranscript } from '../output/transcript.ts';
import { type Fields, readWritten } from './written.ts';

const saysSomething = (part: Fields): boolean =>
  Object.entries(part).some(([name, value]) => name !== 'role' && value !== '' && value !== null);

/**
 * What a model writes, as chunks of OpenAI's form. They are made of what its miner says before the end, and what that did not
 * hold comes from the result; the reason for the end always does, so that nothing looks whole before it is signed.
 */
export const createChunks = (kind: 'chat' | 'completion') => {
  const transcript = createTranscript();
  const begun = new Set<number>();
  let hasText = false;

  const chatPart = (choice: Fields, index: number): Fields | null => {
    if (!isRecord(choice.delta)) return null;
    const { role: _role, ...delta } = choice.delta;
    const isFirst = !begun.has(index);
    begun.add(index);
    if (!isFirst && !saysSomething(delta)) return null;
    if (Array.isArray(delta.tool_calls)) {
      // AI SDK and others sort calls by a number that some servers leave out.
      delta.tool_calls = delta.tool_calls
        .filter(isRecord)
        .map((call, at) => ({ ...call, index: typeof call.index === 'number' ? call.index : at }));
    }
    // Some clients skip a first chunk without content.
    return { delta: isFirst ? { role: 'assistant', content: '', ...delta } : delta };
  };
  const textPart = (choice: Fields): Fields | null =>
    typeof choice.text === 'string' && choice.text !== '' ? { text: choice.text } : null;

  return {
    hasText: (): boolean => hasText,
    /** @returns the chunk that is passed on of one of the miner's; null for one that says nothing. */
    of: (given: unknown): Fields | null => {
      const choices: Fields[] = [];
      const list = isRecord(given) && Array.isArray(given.choices) ? given.choices.filter(isRecord) : [];
      for (const [at, choice] of list.entries()) {
        const index = typeof choice.index === 'number' ? choice.index : at;
        const part = kind === 'chat' ? chatPart(choice, index) : textPart(choice);
        if (part === null) continue;
        if (saysSomething(isRecord(part.delta) ? part.delta : part)) hasText = true;
        const logprobs = choice.logprobs == null ? {} : { logprobs: choice.logprobs };
        choices.push({ index, ...part, ...logprobs, finish_reason: null });
      }
      if (choices.length === 0) return null;
      const chunk = { choices };
      transcript.add(chunk);
      return chunk;
    },
    /**
     * What is left to say once the result is there.
     * @returns null when the result is no answer; `agrees` is false when it is another than was begun.
     */
    rest: (
      result: unknown,
    ): { agrees: false } | { agrees: true; chunks: readonly Fields[]; usage: unknown } | null => {
      const written = readWritten(kind, result);
      if (written === null) return null;
      const rest = transcript.restOf(written);
      return rest.agrees ? { ...rest, usage: written.usage } : rest;
    },
  };
};
