import { networkReason } from '../coordinator.ts';
import { backendUnavailable, JobFailure } from './executor.ts';

/** A probe asks a local server for a short list; one that needs longer is not ready for work. */
const LIST_TIMEOUT_MS = 5_000;
/** The contract takes at most 500 models of at most 200 characters. */
const MODELS_MAX = 500;
const MODEL_NAME_MAX = 200;
/** How much of the server's own words about an error goes to the client. */
const DETAIL_MAX = 500;

type ModelList =
  | { readonly ok: true; readonly models: readonly string[] }
  | { readonly ok: false; readonly reason: string };

/** Any server that speaks the OpenAI HTTP API: Ollama, vLLM, llama.cpp, LM Studio and others. */
export interface OpenAiServer {
  readonly url: string;
  listModels(): Promise<ModelList>;
  /** @returns the 2xx response, its body still to be read. Throws a JobFailure for any other. */
  post(path: string, body: unknown, signal: AbortSignal): Promise<Response>;
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Embedding models answer no chat. Their names are the only sign that every server gives. */
export const looksLikeEmbeddingModel = (model: string): boolean =>
  /embed|\bbge\b|\bgte\b|\be5\b|minilm|sentence-transformers|arctic-embed/i.test(model);

/** A pooled connection may have been closed by the server while it was idle: that says nothing about the server. */
const fetchTwice = async (url: string, init: RequestInit): Promise<Response> => {
  try {
    return await fetch(url, init);
  } catch (error) {
    const reason = networkReason(error);
    if (reason !== 'UND_ERR_SOCKET' && reason !== 'ECONNRESET') throw error;
    return fetch(url, init);
  }
};

const readError = async (response: Response): Promise<string | undefined> => {
  const text = await response.text().catch(() => '');
  try {
    const body: unknown = JSON.parse(text);
    const error = isRecord(body) ? (body.error ?? body.detail ?? body.message) : undefined;
    if (typeof error === 'string') return error.slice(0, DETAIL_MAX);
    if (isRecord(error) && typeof error.message === 'string') return error.message.slice(0, DETAIL_MAX);
  } catch {
    // Not JSON: a proxy's page helps nobody.
  }
  return undefined;
};

const failureOf = async (response: Response): Promise<JobFailure> => {
  const { status } = response;
  const detail = await readError(response);
  if (status === 404) {
    return new JobFailure('MODEL_NOT_AVAILABLE', 'the model server does not have this model', {
      retryable: true,
      detail,
    });
  }
  if (status === 401 || status === 403) {
    return new JobFailure('BACKEND_UNAVAILABLE', 'the model server refused the miner’s key', {
      retryable: true,
    });
  }
  if (status === 429 || status === 408) {
    return new JobFailure('BACKEND_BUSY', 'the model server is busy', { retryable: true });
  }
  if (status >= 500) {
    return new JobFailure('BACKEND_ERROR', `the model server answered ${status}`, {
      retryable: true,
      detail,
    });
  }
  return new JobFailure('BACKEND_REFUSED', `the model server refused the request (${status})`, {
    retryable: false,
    detail,
  });
};

export const createOpenAiServer = (url: string, key: string | undefined): OpenAiServer => {
  const headers = {
    accept: 'application/json, text/event-stream',
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  };
  let listing: Promise<ModelList> | undefined;

  const fetchModels = async (): Promise<ModelList> => {
    let response: Response;
    let body: unknown;
    try {
      response = await fetchTwice(`${url}/models`, { headers, signal: AbortSignal.timeout(LIST_TIMEOUT_MS) });
      body = await response.json().catch(() => undefined);
    } catch (error) {
      const reason = networkReason(error);
      return {
        ok: false,
        reason: reason === 'ECONNREFUSED' ? `no server at ${url}` : `${url} does not answer: ${reason}`,
      };
    }
    if (response.status === 401 || response.status === 403) {
      return { ok: false, reason: `the server at ${url} wants a key (pass --llm-key)` };
    }
    if (!response.ok || !isRecord(body) || !Array.isArray(body.data)) {
      return {
        ok: false,
        reason: `${url}/models answered ${response.status}, but not a model list: is the URL right?`,
      };
    }
    const models = body.data
      .map((entry: unknown) => (isRecord(entry) ? entry.id : undefined))
      .filter((id): id is string => typeof id === 'string' && id !== '' && id.length <= MODEL_NAME_MAX);
    return { ok: true, models: [...new Set(models)].sort().slice(0, MODELS_MAX) };
  };

  return {
    url,
    // Two executors probe at the same moment; one request serves both.
    listModels() {
      listing ??= fetchModels().finally(() => {
        listing = undefined;
      });
      return listing;
    },
    async post(path, body, signal) {
      let response: Response;
      try {
        response = await fetchTwice(url + path, {
          method: 'POST',
          headers: { ...headers, 'content-type': 'application/json' },
          body: JSON.stringify(body),
          signal,
        });
      } catch (error) {
        if (signal.aborted) throw error;
        throw backendUnavailable(`the model server cannot be reached (${networkReason(error)})`);
      }
      if (!response.ok) throw await failureOf(response);
      return response;
    },
  };
};

/** The `data:` payloads of a server-sent event stream, in order. A connection that breaks rejects. */
export async function* eventData(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.startsWith('data:')) yield line.slice(5).trim();
    }
  }
  // A server that closes without a last line break has still said its last line.
  if (rest.startsWith('data:')) yield rest.slice(5).trim();
}
