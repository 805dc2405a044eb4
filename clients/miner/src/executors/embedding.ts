import { readText } from '../http-request.ts';
import { isRecord } from '../record.ts';
import { readRequest } from './completion.ts';
import {
  backendUnavailable,
  type Executor,
  invalidInput,
  JobFailure,
  type Parameters,
  requiredText,
} from './executor.ts';
import type { OpenAiServer } from './openai-server.ts';

/** The bounds on `input` in the contract's registry of job types. */
const TEXT_MAX = 200_000;
const LIST_TEXT_MAX = 50_000;
const LIST_MAX = 512;
/** An embedding request may make the server load the model; a large one from a slow disk takes this long. */
const PROBE_TIMEOUT_MS = 20_000;
/** Each try may load a model into the card's memory, so only a few are tried. */
const PROBE_MODELS_MAX = 8;
/** A model that did not answer is tried again this often while the server lists it. */
const PROBE_AGAIN_MS = 600_000;
/** 512 vectors of 4,096 numbers, as servers write them. */
const ANSWER_MAX_BYTES = 64 * 1024 * 1024;

const readInput = (parameters: Parameters): string[] => {
  const { input } = parameters;
  if (!Array.isArray(input)) return [requiredText(parameters, 'input', TEXT_MAX)];
  if (input.length === 0 || input.length > LIST_MAX)
    throw invalidInput(`input must hold 1 to ${LIST_MAX} texts`);
  return input.map((text: unknown) => requiredText({ input: text }, 'input', LIST_TEXT_MAX));
};

/** A vector holds 32-bit floats, which nine significant digits give back exactly; servers write up to twenty. */
const nineDigits = (value: number): number => Number(value.toPrecision(9));

const readVectors = (body: unknown, expected: number): number[][] => {
  const data = isRecord(body) && Array.isArray(body.data) ? body.data : [];
  const vectors: number[][] = [];
  for (const [position, entry] of data.entries()) {
    if (!isRecord(entry) || !Array.isArray(entry.embedding) || entry.embedding.length === 0) continue;
    const vector: unknown[] = entry.embedding;
    if (!vector.every((value): value is number => typeof value === 'number' && Number.isFinite(value)))
      continue;
    vectors[typeof entry.index === 'number' ? entry.index : position] = vector.map(nineDigits);
  }
  if (data.length !== expected || Object.keys(vectors).length !== expected || vectors.length !== expected) {
    throw new JobFailure('BACKEND_ERROR', 'the model server did not return one vector for each text', {
      retryable: true,
    });
  }
  return vectors;
};

/** A text, several, a list of token ids, or several of those. */
const countInputs = (input: unknown): number => {
  if (!Array.isArray(input)) return 1;
  return typeof input[0] === 'number' ? 1 : input.length;
};

/** @param request posted as it is, except that vectors come as numbers. */
const embed = async (
  server: OpenAiServer,
  request: { readonly model: string; readonly [field: string]: unknown },
  signal: AbortSignal,
) => {
  const { model } = request;
  const reply = await server.post('/embeddings', { ...request, encoding_format: 'float' }, signal);
  let body: unknown;
  try {
    body = JSON.parse(await readText(reply, ANSWER_MAX_BYTES));
  } catch (error) {
    if (signal.aborted) throw error;
    throw backendUnavailable('the model server broke off');
  }
  return {
    model: isRecord(body) && typeof body.model === 'string' ? body.model : model,
    embeddings: readVectors(body, countInputs(request.input)),
    usage: isRecord(body) && isRecord(body.usage) ? body.usage : null,
  };
};

export const createEmbedding = (server: OpenAiServer): Executor => {
  // What each trial found, kept while the model is listed: one each minute would keep a model in memory for nothing.
  let trials = new Map<string, { at: number; failure: string | undefined }>();

  const trial = async (model: string, signal: AbortSignal): Promise<string | undefined> => {
    try {
      const within = AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]);
      await embed(server, { model, input: ['ready'] }, within);
      return undefined;
    } catch (error) {
      const said = error instanceof JobFailure ? error.message : 'no answer in time';
      return `no embedding from ${model} at ${server.url}: ${said}`;
    }
  };

  const isFresh = (model: string): boolean => {
    const last = trials.get(model);
    return last !== undefined && (last.failure === undefined || performance.now() - last.at < PROBE_AGAIN_MS);
  };

  return {
    type: 'embedding',
    async probe(signal) {
      const list = await server.listModels('/embeddings', signal);
      if (!list.ok) {
        trials = new Map();
        return { offered: false, reason: `${list.reason} (start Ollama or pass --llm-url)` };
      }
      // Others would be loaded for nothing, each time.
      const candidates = list.models.filter(server.isEmbeddingModel).slice(0, PROBE_MODELS_MAX);
      trials = new Map([...trials].filter(([model]) => candidates.includes(model)));
      for (const model of candidates) {
        if (!isFresh(model))
          trials.set(model, { failure: await trial(model, signal), at: performance.now() });
      }
      const models = candidates.filter((model) => trials.get(model)?.failure === undefined);
      if (models.length > 0) return { offered: true, detail: `${server.url}, ${models.join(', ')}`, models };
      const reason =
        candidates.map((model) => trials.get(model)?.failure).find((failure) => failure !== undefined) ??
        `the server at ${server.url} has no embedding model (for instance: ollama pull nomic-embed-text, or name one with --embedding-model)`;
      return { offered: false, reason };
    },
    async run(parameters, { signal, measured }) {
      const whole = parameters.request !== undefined;
      const request = whole
        ? readRequest(parameters)
        : { model: requiredText(parameters, 'model', 200), input: readInput(parameters) };
      try {
        const { model, embeddings, usage } = await embed(server, request, signal);
        if (typeof usage?.prompt_tokens === 'number') measured({ tokens: usage.prompt_tokens });
        if (!whole) return { model, embeddings, usage };
        const data = embeddings.map((embedding, index) => ({ object: 'embedding', index, embedding }));
        return { object: 'list', data, model, ...(usage === null ? {} : { usage }) };
      } catch (error) {
        // The trials no longer stand: the next probe tries again.
        if (error instanceof JobFailure && error.code === 'BACKEND_UNAVAILABLE') trials = new Map();
        throw error;
      }
    },
  };
};
