import { randomUUID } from 'node:crypto';
import { isRecord } from '../record.ts';
import { JobFailure } from './executor.ts';

type Fields = Record<string, unknown>;

/** Far above 131,072 tokens of text, below the 4 MB of a result: a server that never stops is cut off here. */
const TEXT_MAX = 2_000_000;
/** More answers than this were not asked for. */
const CHOICES_MAX = 256;
const CALLS_MAX = 256;

/** Texts that come in pieces. */
const TEXTS: ReadonlySet<string> = new Set(['content', 'reasoning_content', 'reasoning', 'refusal']);
/** What stands around a chunk and says nothing of the answer: the coordinator's caller gets its own. */
const ENVELOPE: ReadonlySet<string> = new Set(['id', 'object', 'created', 'model']);

const listOf = (value: unknown): Fields[] => (Array.isArray(value) ? value.filter(isRecord) : []);
const textOr = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** Lists of the same name are put behind each other, so are log probabilities of tokens. */
const appendLists = (into: Fields, from: Fields): void => {
  for (const [name, value] of Object.entries(from)) {
    const known = into[name];
    if (Array.isArray(value) && Array.isArray(known)) known.push(...value);
    else if (Array.isArray(value)) into[name] = [...value];
    else if (value !== null || known === undefined) into[name] = value;
  }
};

interface Call {
  /** As the server numbers it, which need not be right. */
  readonly given: unknown;
  readonly index: number;
  readonly id: string;
  readonly rest: Fields;
  name: string;
  arguments: string;
}

interface Choice {
  readonly index: number;
  readonly message: Fields;
  readonly calls: Call[];
  text: string;
  logprobs: Fields | null;
  finishReason: string | null;
  readonly rest: Fields;
}

/**
 * Puts the chunks of a chat or text completion together to the response that the server would have given at once. Some
 * servers leave out or repeat the number of a tool call, or end one with `stop`: that is put right, in the response and in what
 * is passed on, which so say the same.
 */
export const createAssembly = (kind: 'chat' | 'text') => {
  const choices = new Map<number, Choice>();
  const head: Fields = {};
  let usage: Fields | undefined;
  let length = 0;
  let tokens = 0;

  const count = (text: string): void => {
    length += text.length;
    if (length <= TEXT_MAX) return;
    throw new JobFailure('RESULT_TOO_LARGE', `the answer is longer than ${TEXT_MAX} characters`, {
      retryable: false,
    });
  };
  const tooMany = (what: string): JobFailure =>
    new JobFailure('BACKEND_ERROR', `the model server sent too many ${what}`, { retryable: true });

  const choiceOf = (index: number): Choice => {
    const found = choices.get(index);
    if (found !== undefined) return found;
    if (choices.size >= CHOICES_MAX) throw tooMany('answers');
    const choice: Choice = {
      index,
      message: {},
      calls: [],
      text: '',
      logprobs: null,
      finishReason: null,
      rest: {},
    };
    choices.set(index, choice);
    return choice;
  };

  const callFor = (choice: Choice, piece: Fields, name: string | undefined): [call: Call, isNew: boolean] => {
    const { calls } = choice;
    const id = textOr(piece.id);
    const hasNumber = typeof piece.index === 'number';
    const last = hasNumber ? calls.findLast(({ given }) => given === piece.index) : calls.at(-1);
    const isAnother =
      last !== undefined && (id !== undefined ? id !== last.id : !hasNumber && name !== undefined);
    if (last !== undefined && !isAnother) return [last, false];
    if (calls.length >= CALLS_MAX) throw tooMany('tool calls');
    const { index: _index, id: _id, type, function: _function, ...rest } = piece;
    const call: Call = {
      given: piece.index,
      index: calls.length,
      id: id ?? `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`,
      rest: { type: textOr(type) ?? 'function', ...rest },
      name: '',
      arguments: '',
    };
    calls.push(call);
    return [call, true];
  };

  /** @returns the piece as it is passed on: numbered, and with id, type and name in the first one alone. */
  const addCall = (choice: Choice, piece: Fields): Fields => {
    const given = isRecord(piece.function) ? piece.function : {};
    const name = textOr(given.name);
    const args = given.arguments;
    const text = typeof args === 'string' ? args : isRecord(args) ? JSON.stringify(args) : '';
    count(text);
    const [call, isNew] = callFor(choice, piece, name);
    const isNamedNow = call.name === '' && name !== undefined;
    if (isNamedNow) call.name = name;
    call.arguments += text;
    if (isNew)
      return { index: call.index, id: call.id, ...call.rest, function: { name: call.name, arguments: text } };
    return { index: call.index, function: { ...(isNamedNow ? { name } : {}), arguments: text } };
  };

  const addDelta = (choice: Choice, delta: Fields): Fields => {
    const passed: Fields = {};
    const { message } = choice;
    for (const [name, value] of Object.entries(delta)) {
      if (name === 'tool_calls') {
        const calls = listOf(value).map((piece) => addCall(choice, piece));
        if (calls.length > 0) passed.tool_calls = calls;
        continue;
      }
      passed[name] = value;
      if (typeof value === 'string' && TEXTS.has(name)) {
        count(value);
        message[name] = `${typeof message[name] === 'string' ? message[name] : ''}${value}`;
      } else if (name === 'role') {
        message.role ??= textOr(value);
      } else if (name === 'function_call' && isRecord(value)) {
        const known = isRecord(message.function_call) ? message.function_call : {};
        const text = typeof value.arguments === 'string' ? value.arguments : '';
        count(text);
        message.function_call = {
          name: known.name ?? value.name,
          arguments: `${typeof known.arguments === 'string' ? known.arguments : ''}${text}`,
        };
      } else appendLists(message, { [name]: value });
    }
    return passed;
  };

  const says = (delta: Fields): boolean =>
    Object.entries(delta).some(
      ([name, value]) => (TEXTS.has(name) && value !== '' && value !== null) || name === 'tool_calls',
    );

  const addChoice = (given: Fields, at: number): Fields => {
    const choice = choiceOf(typeof given.index === 'number' ? given.index : at);
    const passed: Fields = { index: choice.index };
    let isToken = false;
    for (const [name, value] of Object.entries(given)) {
      if (name === 'index') continue;
      if (name === 'delta' || name === 'message') {
        const delta = addDelta(choice, isRecord(value) ? value : {});
        passed.delta = delta;
        isToken = says(delta);
      } else if (name === 'text') {
        const text = typeof value === 'string' ? value : '';
        count(text);
        choice.text += text;
        passed.text = text;
        isToken = text !== '';
      } else if (name === 'logprobs') {
        passed.logprobs = value;
        if (isRecord(value)) {
          choice.logprobs ??= {};
          appendLists(choice.logprobs, value);
        }
      } else if (name === 'finish_reason') {
        const reason = textOr(value) ?? null;
        const named = reason === 'stop' && choice.calls.length > 0 ? 'tool_calls' : reason;
        if (named !== null) choice.finishReason = named;
        passed.finish_reason = named;
      } else {
        passed[name] = value;
        if (value !== null) choice.rest[name] = value;
      }
    }
    if (kind === 'chat') passed.delta ??= {};
    passed.finish_reason ??= null;
    if (isToken) tokens += 1;
    return passed;
  };

  return {
    /**
     * @param piece a chunk, or a whole answer
     * @returns what is passed on of it
     */
    add: (piece: Fields): Fields => {
      const passed: Fields = {};
      for (const [name, value] of Object.entries(piece)) {
        if (name === 'choices') passed.choices = listOf(value).map(addChoice);
        else if (name === 'usage') {
          if (isRecord(value)) {
            usage = value;
            passed.usage = value;
          }
        } else {
          head[name] = value;
          if (!ENVELOPE.has(name)) passed[name] = value;
        }
      }
      passed.choices ??= [];
      return passed;
    },
    /** So many pieces said something: about one for each token. */
    tokens: (): number => tokens,
    usage: (): Fields | undefined => usage,
    isEmpty: (): boolean => choices.size === 0,
    /** Each answer has said why it is over. */
    isFinished: (): boolean =>
      choices.size > 0 && [...choices.values()].every(({ finishReason }) => finishReason !== null),
    response: (): Fields => ({
      ...head,
      object: kind === 'chat' ? 'chat.completion' : 'text_completion',
      choices: [...choices.values()]
        .sort((a, b) => a.index - b.index)
        .map(({ index, message, calls, text, logprobs, finishReason, rest }) => ({
          index,
          ...(kind === 'text'
            ? { text }
            : {
                message: {
                  role: 'assistant',
                  content: null,
                  ...message,
                  ...(calls.length === 0
                    ? {}
                    : {
                        tool_calls: calls.map(({ id, rest: more, name, arguments: args }) => ({
                          id,
                          ...more,
                          function: { name, arguments: args },
                        })),
                      }),
                },
              }),
          ...rest,
          logprobs,
          // The stream was over without a word about this one.
          finish_reason: finishReason ?? (calls.length > 0 ? 'tool_calls' : 'stop'),
        })),
      ...(usage === undefined ? {} : { usage }),
    }),
  };
};
