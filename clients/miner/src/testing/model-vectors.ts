import type { Request } from './model-answers.ts';

/** A text, several, a list of token ids, or several of those. */
const inputsOf = (input: unknown): unknown[] =>
  Array.isArray(input) && (typeof input[0] === 'string' || Array.isArray(input[0])) ? input : [input];

const vectorOf = (input: unknown, dimensions = 3): number[] => {
  const length = Array.isArray(input) ? input.length : String(input).length;
  const vector = [length, 0.1234567890123, -1];
  return Array.from({ length: dimensions }, (_, at) => vector[at] ?? at / 7);
};

/** As the API says: 32-bit floats, little end first. */
const inBase64 = (vector: readonly number[]): string => {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [at, value] of vector.entries()) bytes.writeFloatLE(value, at * 4);
  return bytes.toString('base64');
};

/** The answer to a request for embeddings: of each input its length, and two numbers that never change. */
export const embeddingsOf = (body: Request) => {
  const inputs = inputsOf(body.input);
  const data = inputs
    .map((input, index) => {
      const vector = vectorOf(input, body.dimensions);
      return {
        object: 'embedding',
        index,
        embedding: body.encoding_format === 'base64' ? inBase64(vector) : vector,
      };
    })
    // Out of order on purpose: `index` is what counts.
    .reverse();
  const usage = { prompt_tokens: inputs.length, total_tokens: inputs.length };
  return { object: 'list', model: body.model, data, usage };
};
