import { networkReason } from '../coordinator.ts';
import { type Reply, readText, sendRequest } from '../http-request.ts';
import { foldedName } from '../model-name.ts';
import { isRecord } from '../record.ts';
import { type Availability, backendUnavailable, JobFailure } from './executor.ts';

/** A server that works on one request at a time answers late; one that is dead is known by the next job too. */
const LIST_TIMEOUT_MS = 15_000;
/** The contract takes at most 500 models of at most 200 characters. */
const MODELS_MAX = 500;
const MODEL_NAME_MAX = 200;
/** How much of the server's own words about an error goes to the client. */
const DETAIL_MAX = 500;
/** What may stand for the name of an error; some servers repeat the status there. */
const CODE = /^[A-Za-z][\w.-]{0,63}$/;
const LIST_MAX_BYTES = 4 * 1024 * 1024;
const ERROR_MAX_BYTES = 64 * 1024;
/** The smallest work there is may still make the server load its model. */
const TRIAL_TIMEOUT_MS = 20_000;

type ModelList =
  | { readonly ok: true; readonly models: readonly string[] }
  | { readonly ok: false; readonly reason: string };

/** Where work is asked for. */
export type WorkPath = '/chat/completions' | '/completions' | '/embeddings';

/** Any server that speaks the OpenAI HTTP API: Ollama, vLLM, llama.cpp, LM Studio and others. */
export interface OpenAiServer {
  readonly url: string;
  /** @returns what can be asked for at `path`; nothing while the server refuses work there. */
  listModels(path: WorkPath, signal: AbortSignal): Promise<ModelList>;
  /** By its name, which is the only sign that every server gives, or because the owner says so. */
  isEmbeddingModel(model: string): boolean;
  /** @returns the 2xx reply, its body still to be read. Throws a JobFailure for any other. */
  post(
    path: WorkPath,
    body: { model: string; [field: string]: unknown },
    signal: AbortSignal,
  ): Promise<Reply>;
}

const looksLikeEmbeddingModel = (model: string): boolean =>
  /embed|\bbge\b|\bgte\b|\be5\b|minilm|sentence-transformers/i.test(model);

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** A server's words as a client may read them: one line, no control characters, not endless. */
export const cleanWords = (words: string): string =>
  words
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim()
    .slice(0, DETAIL_MAX);

interface SaidError {
  /** Undefined where nobody would be helped by it: a page, or nothing. */
  readonly words: string | undefined;
  /** The server's own name of the error. */
  readonly code?: string | undefined;
  readonly isAboutModel: boolean;
}

const readError = async (reply: Reply): Promise<SaidError> => {
  const text = await readText(reply, ERROR_MAX_BYTES).catch(() => '');
  const body = parseJson(text);
  if (isRecord(body)) {
    const error = body.error ?? body.detail ?? body.message;
    const said = isRecord(error) ? error.message : error;
    const code = isRecord(error) ? error.code : undefined;
    const words = typeof said === 'string' && said !== '' ? cleanWords(said) : undefined;
    return {
      words,
      code: typeof code === 'string' && CODE.test(code) ? code : undefined,
      isAboutModel: code === 'model_not_found' || /model/i.test(words ?? ''),
    };
  }
  const isPage = reply.contentType.includes('html') || /^\s*</.test(text);
  const words = isPage ? '' : cleanWords(text);
  return { words: words === '' ? undefined : words, isAboutModel: !isPage && /model/i.test(words) };
};

const failureOf = async (reply: Reply, url: string): Promise<JobFailure> => {
  const { status } = reply;
  const { words: detail, code, isAboutModel } = await readError(reply);
  if (status === 404 && isAboutModel) {
    return new JobFailure('MODEL_NOT_AVAILABLE', 'the model server does not have this model', {
      retryable: true,
      notStarted: true,
      withdraws: 'model',
      detail,
    });
  }
  if (status === 404 || status === 405 || (status >= 300 && status < 400)) {
    const where = reply.location === undefined ? '' : `, it points to ${cleanWords(reply.location)}`;
    const message = `nothing at ${url} takes this work (${status}${where}): is the address right?`;
    return new JobFailure('BACKEND_UNAVAILABLE', message, {
      retryable: true,
      notStarted: true,
      withdraws: 'type',
    });
  }
  if (status === 401 || status === 403) {
    const message = 'the model server refused the miner’s key for work (pass --llm-key)';
    return new JobFailure('BACKEND_UNAVAILABLE', message, {
      retryable: true,
      notStarted: true,
      withdraws: 'type',
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
  // The door reads status and name out of this sentence, and gives them to the client as its own.
  const what = code === undefined ? String(status) : `${status} ${code}`;
  return new JobFailure('MODEL_SERVER_REFUSED', `the model server refused the request (${what})`, {
    retryable: false,
    detail,
  });
};

/** The smallest work at each path. */
const TRIALS: Record<WorkPath, object> = {
  '/chat/completions': { messages: [{ role: 'user', content: 'ready' }], max_tokens: 1 },
  '/completions': { prompt: 'ready', max_tokens: 1 },
  '/embeddings': { input: ['ready'] },
};

/**
 * @param embeddingModels those that the owner names, beside those that are called like one.
 * @param listTimeoutMs for tests.
 */
export const createOpenAiServer = (
  url: string,
  key: string | undefined,
  embeddingModels: readonly string[] = [],
  listTimeoutMs: number = LIST_TIMEOUT_MS,
): OpenAiServer => {
  const headers = {
    accept: 'application/json, text/event-stream',
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  };
  const embedding = new Set(embeddingModels.map(foldedName));
  /** By folded name, how the server spells it. */
  let spelling = new Map<string, string>();
  let known: ModelList | undefined;
  let listing: Promise<ModelList> | undefined;
  /** What the server refuses as such, and with which model that was seen. */
  const refused = new Map<WorkPath, { model: string; reason: string }>();
  let working = 0;
  let answers = 0;

  const fetchModels = async (): Promise<ModelList> => {
    const answersBefore = answers;
    let wasWorking = working > 0;
    let reply: Reply;
    let body: unknown;
    try {
      const signal = AbortSignal.timeout(listTimeoutMs);
      reply = await sendRequest(`${url}/models`, { method: 'GET', headers, signal });
      body = parseJson(await readText(reply, LIST_MAX_BYTES));
    } catch (error) {
      const reason = networkReason(error);
      wasWorking ||= working > 0 || answers > answersBefore;
      // Busy is not dead: many servers do one thing at a time, and a job that it answers proves that it lives.
      if (reason !== 'ECONNREFUSED' && wasWorking && known?.ok === true) return known;
      return {
        ok: false,
        reason: reason === 'ECONNREFUSED' ? `no server at ${url}` : `${url} does not answer: ${reason}`,
      };
    }
    if (reply.status === 401 || reply.status === 403) {
      return { ok: false, reason: `the server at ${url} wants a key (pass --llm-key)` };
    }
    if (reply.status !== 200 || !isRecord(body) || !Array.isArray(body.data)) {
      return {
        ok: false,
        reason: `${url}/models answered ${reply.status}, but not a model list: is the URL right?`,
      };
    }
    const names = body.data
      .map((entry: unknown) => (isRecord(entry) ? entry.id : undefined))
      .filter((id): id is string => typeof id === 'string' && id !== '' && id.length <= MODEL_NAME_MAX);
    const models = [...new Set(names)].sort().slice(0, MODELS_MAX);
    spelling = new Map(models.map((model) => [foldedName(model), model]));
    return { ok: true, models };
  };

  const post = async (path: WorkPath, body: { model: string }, signal: AbortSignal): Promise<Reply> => {
    const model = spelling.get(foldedName(body.model)) ?? body.model;
    let reply: Reply;
    working += 1;
    try {
      reply = await sendRequest(url + path, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify({ ...body, model }),
        signal,
      });
      answers += 1;
    } catch (error) {
      if (signal.aborted) throw error;
      const reason = networkReason(error);
      const message = `the model server cannot be reached (${reason})`;
      if (reason !== 'ECONNREFUSED') throw backendUnavailable(message);
      throw new JobFailure('BACKEND_UNAVAILABLE', message, {
        retryable: true,
        notStarted: true,
        withdraws: 'type',
      });
    } finally {
      working -= 1;
    }
    if (reply.status >= 200 && reply.status < 300) {
      refused.delete(path);
      return reply;
    }
    const failure = await failureOf(reply, url);
    if (failure.withdraws === 'type') refused.set(path, { model, reason: failure.message });
    return Promise.reject(failure);
  };

  /** Whether work is still refused at `path`: asked with the smallest work there is, since a list says nothing of it. */
  const stillRefused = async (path: WorkPath, signal: AbortSignal): Promise<string | undefined> => {
    const seen = refused.get(path);
    if (seen === undefined) return undefined;
    refused.delete(path);
    try {
      const within = AbortSignal.any([signal, AbortSignal.timeout(TRIAL_TIMEOUT_MS)]);
      const trial = { model: seen.model, ...TRIALS[path] };
      (await post(path, trial, within)).drop();
    } catch {
      // Any other failure is for the jobs to meet: what was refused is refused no more.
    }
    return refused.get(path)?.reason;
  };

  return {
    url,
    isEmbeddingModel: (model) => looksLikeEmbeddingModel(model) || embedding.has(foldedName(model)),
    async listModels(path, signal) {
      // Two executors probe at the same moment; one request serves both.
      listing ??= fetchModels()
        .then((list) => {
          known = list;
          return list;
        })
        .finally(() => {
          listing = undefined;
        });
      const list = await listing;
      const reason = list.ok ? await stillRefused(path, signal) : undefined;
      return reason === undefined ? list : { ok: false, reason };
    },
    post,
  };
};

/** What an executor that writes text with a server's models offers: all but those that only embed. */
export const offerLanguageModels = async (
  server: OpenAiServer,
  path: WorkPath,
  signal: AbortSignal,
): Promise<Availability> => {
  const list = await server.listModels(path, signal);
  if (!list.ok) return { offered: false, reason: `${list.reason} (start Ollama or pass --llm-url)` };
  const models = list.models.filter((model) => !server.isEmbeddingModel(model));
  if (models.length === 0) {
    const reason = `the server at ${server.url} has no language model yet (for instance: ollama pull llama3.2:1b)`;
    return { offered: false, reason };
  }
  return {
    offered: true,
    detail: `${server.url}, ${models.length} model${models.length === 1 ? '' : 's'}`,
    models,
  };
};
