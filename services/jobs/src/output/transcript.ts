import { createHash, type Hash } from 'node:crypto';
import { isRecord } from '@aitbc/contracts';

type Fields = Record<string, unknown>;

const listOf = (value: unknown): Fields[] => (Array.isArray(value) ? value.filter(isRecord) : []);
const numberOr = (value: unknown, otherwise: number): number =>
  typeof value === 'number' ? value : otherwise;

/** Texts that come in pieces, whatever a server calls them. */
const TEXTS = ['content', 'reasoning_content', 'reasoning', 'refusal'] as const;

/** Every text of one choice, by where it stands. `part` is a delta of a stream, or the message of a whole answer. */
function* textsOf(part: Fields): Generator<[key: string, text: string]> {
  for (const name of TEXTS) {
    const text = part[name];
    if (typeof text === 'string') yield [name, text];
  }
  for (const [at, call] of listOf(part.tool_calls).entries()) {
    const fn = isRecord(call.function) ? call.function : {};
    const index = numberOr(call.index, at);
    if (typeof fn.name === 'string') yield [`tool/${index}/name`, fn.name];
    if (typeof fn.arguments === 'string') yield [`tool/${index}/arguments`, fn.arguments];
  }
}

interface Said {
  length: number;
  readonly hash: Hash;
}
/** Two bytes for each unit: a piece may end between the halves of a character. */
const add = (said: Said, text: string): void => {
  said.length += text.length;
  said.hash.update(text, 'utf16le');
};
const begun = (): Said => ({ length: 0, hash: createHash('sha256') });
const isBeginning = (said: Said, text: string): boolean => {
  if (text.length < said.length) return false;
  const same = createHash('sha256').update(text.slice(0, said.length), 'utf16le').digest();
  return same.equals(said.hash.copy().digest());
};

export type Rest =
  /** What was passed on is how the result begins; these chunks say what is left of it. */
  | { readonly agrees: true; readonly chunks: readonly Fields[] }
  /** The miner said one thing and reported another. */
  | { readonly agrees: false };

/**
 * Remembers, in a few bytes for each text, what of a chat or text completion was passed on while it was made, to compare it with
 * the result and to say what of that is still to be said: all, when nothing came before.
 */
export const createTranscript = () => {
  const texts = new Map<string, Said>();
  const finished = new Set<number>();
  const begunChoices = new Set<number>();

  const restOfChoice = (choice: Fields, index: number, used: Set<string>): Fields[] | undefined => {
    const rest: Fields[] = [];
    const say = (fields: Fields): void => void rest.push({ index, ...fields, finish_reason: null });
    const isNew = !begunChoices.has(index);
    const message = isRecord(choice.message) ? choice.message : undefined;
    const logprobs = isNew && choice.logprobs != null ? { logprobs: choice.logprobs } : {};

    /** @returns what of a text is left, or undefined when it does not begin as it was passed on. */
    const left = (key: string, text: string): string | undefined => {
      const full = `${index}/${key}`;
      used.add(full);
      const said = texts.get(full);
      if (said === undefined) return text;
      return isBeginning(said, text) ? text.slice(said.length) : undefined;
    };

    if (message === undefined) {
      const text = left('text', typeof choice.text === 'string' ? choice.text : '');
      if (text === undefined) return undefined;
      if (text !== '') say({ text, ...logprobs });
    } else {
      if (isNew) say({ delta: { role: 'assistant', content: '' }, ...logprobs });
      for (const name of TEXTS) {
        const whole = message[name];
        if (typeof whole !== 'string') continue;
        const text = left(name, whole);
        if (text === undefined) return undefined;
        if (text !== '') say({ delta: { [name]: text } });
      }
      for (const [at, call] of listOf(message.tool_calls).entries()) {
        const fn = isRecord(call.function) ? call.function : {};
        const toolIndex = numberOr(call.index, at);
        const isKnown = texts.has(`${index}/tool/${toolIndex}/name`);
        const name = left(`tool/${toolIndex}/name`, String(fn.name ?? ''));
        const args = left(`tool/${toolIndex}/arguments`, String(fn.arguments ?? ''));
        if (name === undefined || args === undefined) return undefined;
        if (isKnown && args === '') continue;
        const { function: _function, ...rest } = call;
        const piece = isKnown
          ? { index: toolIndex, function: { arguments: args } }
          : { ...rest, index: toolIndex, function: { name, arguments: args } };
        say({ delta: { tool_calls: [piece] } });
      }
    }
    if (!finished.has(index)) {
      const part = message === undefined ? { text: '' } : { delta: {} };
      rest.push({ index, ...part, finish_reason: choice.finish_reason ?? 'stop' });
    }
    return rest;
  };

  return {
    /** @param chunk a chunk that was passed on */
    add: (chunk: unknown): void => {
      for (const [at, choice] of listOf(isRecord(chunk) ? chunk.choices : undefined).entries()) {
        const index = numberOr(choice.index, at);
        begunChoices.add(index);
        const pieces: Iterable<[string, string]> = isRecord(choice.delta)
          ? textsOf(choice.delta)
          : typeof choice.text === 'string'
            ? [['text', choice.text]]
            : [];
        for (const [key, text] of pieces) {
          const full = `${index}/${key}`;
          const said = texts.get(full) ?? begun();
          texts.set(full, said);
          add(said, text);
        }
        if (choice.finish_reason != null) finished.add(index);
      }
    },

    /** @param result the whole response object that was reported */
    restOf: (result: unknown): Rest => {
      const used = new Set<string>();
      const chunks: Fields[] = [];
      for (const [at, choice] of listOf(isRecord(result) ? result.choices : undefined).entries()) {
        const rest = restOfChoice(choice, numberOr(choice.index, at), used);
        if (rest === undefined) return { agrees: false };
        for (const one of rest) chunks.push({ choices: [one] });
      }
      const isUnsaid = [...texts].some(([key, { length }]) => length > 0 && !used.has(key));
      return isUnsaid ? { agrees: false } : { agrees: true, chunks };
    },
  };
};
