import type { Operations } from './contract.ts';
import { AitbcError, ConnectionError, ServerError } from './errors.ts';
import { parseData, receive } from './event-stream.ts';
import {
  isPassing,
  isRecord,
  RETRY_AFTER_MAX_SECONDS,
  type RequestOptions,
  refusalIn,
  type Transport,
} from './http.ts';
import { backOff, sleep } from './waiting.ts';

/** One message of OpenAI's API; `content` may also be its list of parts. */
export interface ChatMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool';
  readonly content: string | readonly Record<string, unknown>[] | null;
  readonly [field: string]: unknown;
}

type Body = Operations['jobs.chat_completions']['body'];

/** As OpenAI's API has it: `temperature`, `max_tokens`, `tools` and all other fields pass to the model. */
export interface ChatRequest {
  /** A name of `chat.models()`; `@0.25` behind it is a price. */
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  /** Price, patience and place. */
  readonly aitbc?: Body['aitbc'];
  readonly [field: string]: unknown;
}

/** What came of a chat. */
export interface ChatAnswer {
  readonly text: string;
  /** What the model thought before, where it says so. */
  readonly reasoning: string;
  readonly model: string;
  /** `stop`, `length`, `tool_calls`, … */
  readonly finish_reason: string | null;
  /** As the model server counted; undefined when it did not. */
  readonly usage:
    | {
        readonly prompt_tokens?: number;
        readonly completion_tokens?: number;
        readonly total_tokens?: number;
      }
    | undefined;
  readonly job_id: string;
  readonly receipt_id: string;
  readonly miner_id: string;
  /** What was paid, AITBC. */
  readonly price: number;
}

export type ChatEvent =
  /** Nothing yet: `queued, position 3`, `working`. */
  | { readonly type: 'waiting'; readonly message: string }
  | {
      readonly type: 'delta';
      readonly text: string;
      readonly reasoning: string;
      /** OpenAI's chunk, with whatever else it holds: tool calls, log probabilities, further choices. */
      readonly chunk: Record<string, unknown>;
    }
  | ({ readonly type: 'end' } & ChatAnswer);

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const recordOf = (value: unknown): Record<string, unknown> => (isRecord(value) ? value : {});

/** What a chunk says of its first choice. */
const readChunk = (chunk: Record<string, unknown>) => {
  const choice = (Array.isArray(chunk.choices) ? chunk.choices : [])
    .filter(isRecord)
    .find(({ index = 0 }) => index === 0);
  const delta = recordOf(choice?.delta);
  return {
    text: textOf(delta.content),
    reasoning: textOf(delta.reasoning_content) || textOf(delta.reasoning),
    finish: typeof choice?.finish_reason === 'string' ? choice.finish_reason : undefined,
    isEmpty: Object.keys(delta).length === 0 && choice?.finish_reason == null,
  };
};

async function* stream(
  transport: Transport,
  request: ChatRequest,
  call: RequestOptions,
): AsyncGenerator<ChatEvent, void, undefined> {
  // By its key the same request finds the job that it became: what was lost on the way is paid once.
  const headers = { ...call.headers, 'idempotency-key': call.idempotencyKey ?? crypto.randomUUID() };
  const body = { ...request, stream: true, stream_options: { include_usage: true } };
  const retries = call.maxRetries ?? transport.maxRetries;
  for (let tried = 0; ; tried++) {
    let hasBegun = false;
    try {
      for await (const event of attempt(transport, body, { ...call, headers })) {
        hasBegun ||= event.type === 'delta';
        yield event;
      }
      return;
    } catch (error) {
      // Another attempt may write another text: the two would not fit together.
      const mayRepeat = !hasBegun && error instanceof AitbcError && isPassing(error) && tried < retries;
      if (!mayRepeat || (error.retryAfterSeconds ?? 0) > RETRY_AFTER_MAX_SECONDS) throw error;
      await sleep(backOff(tried, error.retryAfterSeconds), call.signal);
    }
  }
}

async function* attempt(
  transport: Transport,
  body: Body,
  call: RequestOptions,
): AsyncGenerator<ChatEvent, void, undefined> {
  let requestId: string | undefined;
  const open = async (signal: AbortSignal): Promise<Response> => {
    const response = await transport.open('jobs.chat_completions', { body }, { ...call, signal });
    requestId = response.headers.get('x-request-id') ?? undefined;
    return response;
  };
  const whole = {
    text: '',
    reasoning: '',
    finish: null as string | null,
    about: {},
    usage: undefined as unknown,
  };
  for await (const received of receive(open, call.signal)) {
    if (received.kind === 'comment') {
      yield { type: 'waiting', message: received.text.trim() };
      continue;
    }
    if (received.data === '[DONE]') {
      yield {
        type: 'end',
        text: whole.text,
        reasoning: whole.reasoning,
        model: body.model,
        finish_reason: whole.finish,
        usage: whole.usage as ChatAnswer['usage'],
        ...(whole.about as Pick<ChatAnswer, 'job_id' | 'receipt_id' | 'miner_id' | 'price'>),
      };
      return;
    }
    const chunk = recordOf(parseData(received.data));
    if ('error' in chunk) throw failureIn(chunk, requestId);
    const { text, reasoning, finish, isEmpty } = readChunk(chunk);
    whole.text += text;
    whole.reasoning += reasoning;
    whole.finish = finish ?? whole.finish;
    if (isRecord(chunk.usage)) whole.usage = chunk.usage;
    if (isRecord(chunk.aitbc)) whole.about = chunk.aitbc;
    if (!isEmpty) yield { type: 'delta', text, reasoning, chunk };
  }
  throw new ConnectionError({
    code: 'CONNECTION_FAILED',
    message: 'The answer was cut off before its end.',
    requestId,
  });
}

/** The status that it would have had, had it come before the first byte. */
const STATUS_OF: Record<string, number> = {
  invalid_request_error: 400,
  insufficient_quota: 402,
  requests: 429,
};

/** What ended an answer whose status had left. */
const failureIn = (chunk: Record<string, unknown>, requestId: string | undefined): AitbcError => {
  const { type, code } = recordOf(chunk.error);
  const status = STATUS_OF[String(type)] ?? 502;
  // A coordinator that stops says so; who asks again finds the job. All else has been tried for as long as it may take.
  const facts = { status, requestId, isFinal: code !== 'overloaded' };
  return (
    refusalIn(chunk, facts) ??
    new ServerError({ ...facts, code: 'UPSTREAM_FAILED', message: 'The answer broke off.' })
  );
};

/** Models that miners offer, asked as OpenAI's API has it; each answer is a job, paid from escrow, with a receipt. */
export const createChat = (transport: Transport) => ({
  /**
   * The answer while it is written: `delta` for each piece, `end` with all of it once the receipt is signed. Who stops
   * reading, or aborts the signal, cancels the job. A connection that is lost before the first piece is made again, later
   * ones are an error.
   */
  stream: (request: ChatRequest, call: RequestOptions = {}): AsyncGenerator<ChatEvent, void, undefined> =>
    stream(transport, request, call),
  /** The whole answer. */
  run: async (request: ChatRequest, call: RequestOptions = {}): Promise<ChatAnswer> => {
    for await (const event of stream(transport, request, call))
      if (event.type === 'end') {
        const { type: _, ...answer } = event;
        return answer;
      }
    throw new ServerError({ code: 'UPSTREAM_FAILED', message: 'The answer has no end.' });
  },
  /** What miners offer now. */
  models: async (call?: RequestOptions) => (await transport.call('jobs.models', {}, call)).data,
});
export type Chat = ReturnType<typeof createChat>;
