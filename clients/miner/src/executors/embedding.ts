import {
  backendUnavailable,
  type Executor,
  invalidInput,
  JobFailure,
  type Parameters,
  requiredText,
} from './executor.ts';
import { isRecord, looksLikeEmbeddingModel, type OpenAiServer } from './openai-server.ts';

/** The bounds on `input` in the contract's registry of job types. */
const TEXT_MAX = 200_000;
const LIST_TEXT_MAX = 50_000;
const LIST_MAX = 512;
/** An embedding request may make the server load the model; a large one from a slow disk takes this long. */
const PROBE_TIMEOUT_MS = 20_000;
/** Each try may load a model into the card's memory, so only a few are tried. */
const PROBE_MODELS_MAX = 3;
/** A server that had no embedding model is tried again this often while its model list stays the same. */
const PROBE_AGAIN_MS = 600_000;

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

const embed = async (server: OpenAiServer, model: string, input: readonly string[], signal: AbortSignal) => {
  const response = await server.post('/embeddings', { model, input, encoding_format: 'float' }, signal);
  let body: unknown;
  try {
    body = await response.json();
  } catch (error) {
    if (signal.aborted) throw error;
    throw backendUnavailable('the model server broke off');
  }
  return {
    model: isRecord(body) && typeof body.model === 'string' ? body.model : model,
    embeddings: readVectors(body, input.length),
    usage: isRecord(body) && isRecord(body.usage) ? body.usage : null,
  };
};

export const createEmbedding = (server: OpenAiServer): Executor => {
  // The last trial, kept while the model list is the same: a trial each minute would keep a model in memory for nothing.
  let last: { models: string; at: number; answered: string | undefined; reason: string } | undefined;

  const trial = async (
    models: readonly string[],
    signal: AbortSignal,
  ): Promise<{ answered: string | undefined; reason: string }> => {
    // Those named like one first, then the server's order.
    const candidates = [...models].sort(
      (a, b) => Number(looksLikeEmbeddingModel(b)) - Number(looksLikeEmbeddingModel(a)),
    );
    let reason = `the server at ${server.url} lists no model`;
    for (const model of candidates.slice(0, PROBE_MODELS_MAX)) {
      try {
        await embed(
          server,
          model,
          ['ready'],
          AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]),
        );
        return { answered: model, reason: '' };
      } catch (error) {
        const said = error instanceof JobFailure ? error.message : 'no answer in time';
        reason = `no embedding from ${model} at ${server.url}: ${said}`;
      }
    }
    return { answered: undefined, reason: `${reason} (for instance: ollama pull nomic-embed-text)` };
  };

  return {
    type: 'embedding',
    async probe(signal) {
      const list = await server.listModels();
      if (!list.ok) {
        last = undefined;
        return { offered: false, reason: `${list.reason} (start Ollama or pass --llm-url)` };
      }
      const models = list.models.join('\n');
      const isFresh =
        last !== undefined &&
        last.models === models &&
        (last.answered !== undefined || Date.now() - last.at < PROBE_AGAIN_MS);
      if (!isFresh) last = { models, at: Date.now(), ...(await trial(list.models, signal)) };
      if (last?.answered === undefined) return { offered: false, reason: last?.reason ?? 'not tried' };
      return { offered: true, detail: `${server.url}, ${last.answered} answers`, models: [last.answered] };
    },
    async run(parameters, { signal }) {
      const model = requiredText(parameters, 'model', 200);
      const input = readInput(parameters);
      try {
        return await embed(server, model, input, signal);
      } catch (error) {
        // The trial no longer stands: the next probe tries again.
        if (error instanceof JobFailure && error.code === 'BACKEND_UNAVAILABLE') last = undefined;
        throw error;
      }
    },
  };
};
