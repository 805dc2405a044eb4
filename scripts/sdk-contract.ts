import { z } from 'zod';
import {
  BATCH_BODY_LIMIT_BYTES,
  JOB_TYPES,
  nativeRoutes,
  PROBLEM_STATUS,
  SUBMIT_COST,
  WAIT_SECONDS_MAX,
} from '../libs/contracts/src/index.ts';
import { buildOpenApi } from '../libs/contracts/src/openapi.ts';

// What the SDK says of the API, as plain TypeScript: what is published must not need zod, nor this tree.

/** The part of JSON Schema that zod writes. */
interface Schema {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  required?: string[];
  description?: string;
}
interface Operation {
  operationId: string;
  summary: string;
  parameters?: { in: string; name: string; required?: boolean; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
}

const ERROR_CODES = Object.keys(PROBLEM_STATUS);
const BASIC: Record<string, string> = {
  string: 'string',
  number: 'number',
  integer: 'number',
  boolean: 'boolean',
  null: 'null',
};
const comment = (text: string | undefined): string =>
  text === undefined ? '' : `/** ${text.replaceAll('*/', '* /')} */ `;
const union = (parts: readonly string[]): string => [...new Set(parts)].join(' | ') || 'never';
const literal = (value: unknown): string => JSON.stringify(value);
const field = (name: string, schema: Schema, isRequired: boolean): string =>
  `${comment(schema.description)}${name}${isRequired ? '' : '?'}: ${typeOf(schema)}${isRequired ? '' : ' | undefined'};`;

const typeOf = (schema: Schema): string => {
  if (schema.$ref !== undefined) return schema.$ref.split('/').at(-1) as string;
  if ('const' in schema) return literal(schema.const);
  if (schema.enum !== undefined)
    return schema.enum.join() === ERROR_CODES.join() ? 'ErrorCode' : union(schema.enum.map(literal));
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return union(choices.map(typeOf));
  if (Array.isArray(schema.type)) return union(schema.type.map((type) => typeOf({ ...schema, type })));
  if (schema.type === 'array') return `(${typeOf(schema.items ?? {})})[]`;
  if (schema.type !== 'object') return BASIC[schema.type ?? ''] ?? 'unknown';
  if (schema.properties !== undefined) {
    const required = new Set(schema.required);
    const fields = Object.entries(schema.properties).map(([name, inner]) =>
      field(name, inner, required.has(name)),
    );
    return `{ ${fields.join('\n')} }`;
  }
  const values = schema.additionalProperties;
  return `Record<string, ${typeof values === 'object' ? typeOf(values) : 'unknown'}>`;
};

/** `'true' | 'false'` in a query is a boolean to whoever writes code. */
const asQuery = (schema: Schema): Schema =>
  schema.enum?.length === 2 && schema.enum.includes('true') && schema.enum.includes('false')
    ? { type: 'boolean', ...(schema.description === undefined ? {} : { description: schema.description }) }
    : schema;

const operationType = (operation: Operation): string => {
  const part = (place: string): string => {
    const fields = (operation.parameters ?? [])
      .filter((parameter) => parameter.in === place)
      .map(({ name, schema, required }) =>
        field(name, place === 'query' ? asQuery(schema) : schema, required === true),
      );
    return fields.length === 0 ? 'undefined' : `{ ${fields.join('\n')} }`;
  };
  const answers = Object.entries(operation.responses)
    .filter(([status]) => status.startsWith('2'))
    .map(([, { content }]) => (content === undefined ? 'undefined' : typeOf(schemaOf(content))));
  const body = operation.requestBody;
  return `/** ${operation.summary} */ ${literal(operation.operationId)}: {
    params: ${part('path')};
    query: ${part('query')};
    body: ${body === undefined ? 'undefined' : typeOf(schemaOf(body.content))};
    reply: ${union(answers)};
  };`;
};
const schemaOf = (content: Record<string, { schema: Schema }>): Schema =>
  Object.values(content)[0]?.schema ?? {};

/** The text of `clients/sdk/src/contract.ts`. */
export const sdkContract = (): string => {
  const { components, paths } = buildOpenApi(nativeRoutes) as unknown as {
    components: { schemas: Record<string, Schema> };
    paths: Record<string, Record<string, Operation>>;
  };
  const operations = Object.values(paths)
    .flatMap((methods) => Object.values(methods))
    .filter(({ operationId }) => nativeRoutes.some(({ name }) => name === operationId));
  const types = Object.entries(components.schemas).map(
    ([name, schema]) => `${comment(schema.description)}export type ${name} = ${typeOf(schema)};`,
  );
  const jobTypes = Object.entries(JOB_TYPES).map(
    ([name, schema]) => `${name}: ${typeOf(z.toJSONSchema(schema, { io: 'input' }) as Schema)};`,
  );
  const table = nativeRoutes
    .filter(({ internal }) => internal !== true)
    .map(
      ({ name, method, path, idempotent }) =>
        `  ${literal(name)}: { method: ${literal(method)}, path: ${literal(path)}, idempotent: ${idempotent === true} },`,
    );
  return `// Made from the contracts by \`node run.mjs openapi\`: not written by hand.

/** Codes of refusals; a newer coordinator may know more. */
export type ErrorCode = ${union(ERROR_CODES.map(literal))};

${types.join('\n')}

/** What each job type takes as \`parameters\`. */
export interface JobParameters {
${jobTypes.join('\n')}
}

/** What each route takes and answers, by the name of its operation. */
export interface Operations {
${operations.map(operationType).join('\n')}
}

export const operations: Readonly<Record<keyof Operations, { method: string; path: string; idempotent: boolean }>> = {
${table.join('\n')}
};

export const LIMITS = {
  /** Jobs in one batch. */
  batchItems: ${SUBMIT_COST.itemsMax},
  batchBytes: ${BATCH_BODY_LIMIT_BYTES},
  /** Longest that a long-poll is held. */
  waitSeconds: ${WAIT_SECONDS_MAX},
} as const;
`;
};
