import type { Script, ToolCall } from './model-server.ts';

/** What a model server reads of a request. All else is remembered and has no effect. */
export interface Request {
  readonly model: string;
  readonly stream?: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
  readonly messages?: readonly { readonly role: string; readonly content?: unknown }[];
  readonly prompt?: unknown;
  readonly input?: unknown;
  readonly n?: number;
  readonly tools?: readonly unknown[];
  readonly tool_choice?: unknown;
  readonly logprobs?: unknown;
  readonly encoding_format?: string;
  readonly dimensions?: number;
  readonly [field: string]: unknown;
}

type Kind = 'chat' | 'completion';

/** One answer, before it is said whole or in pieces. */
interface Written {
  readonly kind: Kind;
  readonly head: { readonly id: string; readonly created: number; readonly model: string };
  readonly choices: number;
  readonly reasoning: readonly string[];
  readonly pieces: readonly string[];
  readonly calls: readonly ToolCall[];
  readonly finish: string;
  readonly withLogprobs: boolean;
  readonly usage: Record<string, number> | undefined;
  readonly usageIsAsked: boolean;
}

const promptsOf = (body: Request): number => (Array.isArray(body.prompt) ? body.prompt.length : 1);

/** What the script makes of a request. */
export const writtenOf = (kind: Kind, body: Request, script: Script, number: number): Written => {
  const callsTools =
    kind === 'chat' &&
    script.calls.length > 0 &&
    (body.tools?.length ?? 0) > 0 &&
    body.tool_choice !== 'none' &&
    body.messages?.at(-1)?.role !== 'tool';
  const pieces = callsTools ? [] : script.pieces;
  const completion = script.reasoning.length + pieces.length + (callsTools ? script.calls.length : 0);
  const choices = (body.n ?? 1) * (kind === 'completion' ? promptsOf(body) : 1);
  return {
    kind,
    head: {
      id: `${kind === 'chat' ? 'chatcmpl' : 'cmpl'}-${number}`,
      created: Math.floor(Date.now() / 1000),
      model: body.model,
    },
    choices,
    reasoning: kind === 'chat' ? script.reasoning : [],
    pieces,
    calls: callsTools ? script.calls : [],
    finish: callsTools ? 'tool_calls' : script.finish,
    withLogprobs: body.logprobs === true || typeof body.logprobs === 'number',
    usage: script.countsUsage
      ? {
          prompt_tokens: 3,
          completion_tokens: completion * choices,
          total_tokens: 3 + completion * choices,
        }
      : undefined,
    usageIsAsked: body.stream_options?.include_usage === true,
  };
};

/** Of one token; the numbers are as good as any. */
const logprobOf = (token: string) => ({
  token,
  logprob: -0.25,
  bytes: [...Buffer.from(token)],
  top_logprobs: [],
});

const callId = (call: ToolCall, choice: number, at: number): string => call.id ?? `call_${choice}_${at}`;

const each = (count: number) => [...Array(count).keys()];

const chatMessage = ({ reasoning, pieces, calls }: Written, choice: number) => ({
  role: 'assistant',
  content: calls.length > 0 ? null : pieces.join(''),
  ...(reasoning.length === 0 ? {} : { reasoning_content: reasoning.join('') }),
  ...(calls.length === 0
    ? {}
    : {
        tool_calls: calls.map((call, at) => ({
          id: callId(call, choice, at),
          type: 'function',
          function: { name: call.name, arguments: call.arguments.join('') },
        })),
      }),
});

/** The answer to a request that does not stream. */
export const wholeOf = (written: Written) => {
  const { kind, head, choices, pieces, finish, withLogprobs, usage } = written;
  const chatLogprobs = withLogprobs ? { content: pieces.map(logprobOf) } : null;
  const textLogprobs = withLogprobs ? { tokens: pieces, token_logprobs: pieces.map(() => -0.25) } : null;
  return {
    ...head,
    object: kind === 'chat' ? 'chat.completion' : 'text_completion',
    choices: each(choices).map((index) =>
      kind === 'chat'
        ? { index, message: chatMessage(written, index), logprobs: chatLogprobs, finish_reason: finish }
        : { index, text: pieces.join(''), logprobs: textLogprobs, finish_reason: finish },
    ),
    ...(usage === undefined ? {} : { usage }),
  };
};

/** @returns the chunks of a stream: those that say something, and those that end it. */
export const chunksOf = (written: Written) => {
  const { kind, head, choices, reasoning, pieces, calls, finish, withLogprobs, usage } = written;
  const object = kind === 'chat' ? 'chat.completion.chunk' : 'text_completion';
  const chunk = (choice: object) => ({ ...head, object, choices: [choice] });
  const say = (index: number, delta: object, logprobs?: unknown) =>
    chunk({ index, delta, ...(logprobs === undefined ? {} : { logprobs }), finish_reason: null });

  const said: object[] = [];
  const indexes = each(choices);
  if (kind === 'chat') {
    for (const index of indexes) said.push(say(index, { role: 'assistant', content: '' }));
    for (const reasoning_content of reasoning)
      for (const index of indexes) said.push(say(index, { reasoning_content }));
    for (const content of pieces)
      for (const index of indexes)
        said.push(say(index, { content }, withLogprobs ? { content: [logprobOf(content)] } : undefined));
    for (const [at, call] of calls.entries())
      for (const index of indexes) {
        const begin = { index: at, id: callId(call, index, at), type: 'function' };
        said.push(say(index, { tool_calls: [{ ...begin, function: { name: call.name, arguments: '' } }] }));
        for (const piece of call.arguments)
          said.push(say(index, { tool_calls: [{ index: at, function: { arguments: piece } }] }));
      }
  } else {
    for (const text of pieces)
      for (const index of indexes)
        said.push(
          chunk({
            index,
            text,
            logprobs: withLogprobs ? { tokens: [text], token_logprobs: [-0.25] } : null,
            finish_reason: null,
          }),
        );
  }
  const endings: object[] = indexes.map((index) =>
    chunk({ index, ...(kind === 'chat' ? { delta: {} } : { text: '' }), finish_reason: finish }),
  );
  if (written.usageIsAsked && usage !== undefined) endings.push({ ...head, object, choices: [], usage });
  return { pieces: said, endings };
};
