import { z } from 'zod';
import {
  createDocument,
  type ZodOpenApiComponentsObject,
  type ZodOpenApiObject,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
} from 'zod-openapi';
import { type Messages, messages } from './messages/index.ts';
import { OpenAiErrorBody, toOpenAiError } from './openai-errors.ts';
import { PROBLEM_STATUS, Problem, ProblemBody, type ProblemCode } from './problem.ts';
import { type AnyRoute, mayOmitBody } from './route.ts';
import { allRoutes } from './routes/index.ts';
import { Health } from './routes/operations.ts';
import { WebhookEvent } from './webhook-events.ts';

const TAGS: Record<string, string> = {
  OpenAI: 'For any client of the OpenAI API: this base URL, and a client key as the API key.',
  Jobs: 'Submit work, follow it, cancel it, and read what came of it.',
  Miners: 'What a machine with GPUs says and asks: register, heartbeat, take work, return results.',
  Market: 'GPUs by the hour: offers, bookings, prices, reviews.',
  Payments: 'Escrow for jobs: held first, then released to the miner or given back.',
  Exchange: 'Buy AITBC with bitcoin.',
  Explorer: 'What anyone may see and check: receipts, sealed blocks, transactions, addresses.',
  Governance: 'Proposals, votes, and the parameters that they change.',
  Webhooks: 'Have events of your account sent to you, signed as Standard Webhooks says.',
  Users: 'Sign in with a wallet; sessions, API keys, balance.',
  Admin: 'For operators: keys, credit, dead letters, figures.',
  Operations: 'For monitoring.',
  'AITBC compatibility':
    'The routes of the original coordinator, for programs that were written for it. Absent with `LEGACY_ROUTES=off`.',
  Development: 'Stands in for the outside world on a development machine; not there in production.',
};

const DESCRIPTION = `Trade AI compute: clients submit jobs, miners run them, every finished job leaves a signed receipt,
and money moves when the work is done.

**Credentials.** \`X-Api-Key\` for clients, miners and operators (on what clients call also \`Authorization: Bearer\`); \`X-Session-Token\` for people who signed in with a
wallet. A session may do what a client key of its account may do.

**Errors.** Every answer that is not 2xx is \`{"error": {"code", "message", "details"}}\` and carries \`X-Request-Id\`.

**Lists.** \`{"items", "next_cursor"}\`, newest first; pass \`next_cursor\` as \`cursor\` for the next page.

**Repeating a request.** Where \`Idempotency-Key\` is offered, the same key with the same request gives the stored answer
for 24 hours and has one effect. The order of fields, white space and escapes do not make another request.

**JSON.** What would not mean the same afterwards is refused with its path: a field named \`__proto__\`, a field that stands
twice, a number too large or too small for a double, and a number in plain digits beyond 2^53 that a double does not hold
(send it as text). Every other number is read as the nearest double, as JSON readers do; \`-0\` is 0. Bodies are UTF-8.

**Texts and names.** Titles, names, labels, reasons and comments lose the white space around them and must have a character
that shows. Ids, hashes and addresses are taken in any case and given in lower case. Numbers in paths and queries are plain
decimal digits. Base64 is taken as a data URI, with line breaks, url-safe or unpadded, and kept in the one padded form.

**Limits.** \`RateLimit\` and \`RateLimit-Policy\` say what is left; 429 says in \`Retry-After\` when to come back.`;

/** What a route can answer beyond its own codes. */
const commonCodes = (route: AnyRoute): ProblemCode[] => [
  'BAD_REQUEST',
  ...(route.body === undefined
    ? []
    : (['INVALID_JSON', 'BODY_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'] as const)),
  'UNAUTHENTICATED',
  ...(route.who.includes('public') ? [] : (['FORBIDDEN'] as const)),
  ...(route.params === undefined ? [] : (['NOT_FOUND'] as const)),
  'URI_TOO_LONG',
  'VALIDATION_ERROR',
  ...(route.idempotent === true ? (['IDEMPOTENCY_KEY_REUSED'] as const) : []),
  ...(route.rate === 'none' ? [] : (['RATE_LIMITED'] as const)),
  'INTERNAL_ERROR',
  'BAD_GATEWAY',
  'SERVICE_UNAVAILABLE',
  'GATEWAY_TIMEOUT',
];

const headerReference = (name: string) => ({ $ref: `#/components/headers/${name}` });

/** `UNAUTHENTICATED` is the component `Unauthenticated`; several codes of one status stand in one name. */
const responseName = (codes: readonly ProblemCode[]): string =>
  codes
    .map((code) =>
      code.toLowerCase().replace(/(^|_)([a-z])/g, (_, _gap, letter: string) => letter.toUpperCase()),
    )
    .join('');

const errorAnswer = (status: number, codes: readonly ProblemCode[]) => ({
  description: codes.map((code) => `\`${code}\``).join(', '),
  headers: {
    'X-Request-Id': headerReference('X-Request-Id'),
    ...(status === 429 || status === 503 ? { 'Retry-After': headerReference('Retry-After') } : {}),
  },
  content: { 'application/json': { schema: ProblemBody } },
});

/** The same for a route that speaks as OpenAI's API does. */
const openAiAnswer = (status: number, codes: readonly ProblemCode[]) => {
  const kinds = new Set(codes.map((code) => toOpenAiError(new Problem(code, '')).body.error.code));
  return {
    ...errorAnswer(status, codes),
    description: [...kinds].map((code) => `\`${code}\``).join(', '),
    content: { 'application/json': { schema: OpenAiErrorBody } },
  };
};

/** The answers to `codes` by status, as references; what they refer to is put into `shared`. */
const errorAnswers = (codes: readonly ProblemCode[], shared: Shared, speaks?: AnyRoute['speaks']) => {
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of new Set(codes)) {
    const status = speaks === 'openai' ? toOpenAiError(new Problem(code, '')).status : PROBLEM_STATUS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus]
      .sort(([a], [b]) => a - b)
      .map(([status, these]) => {
        const name = `${speaks === 'openai' ? 'OpenAi' : ''}${responseName(these)}`;
        shared[name] = speaks === 'openai' ? openAiAnswer(status, these) : errorAnswer(status, these);
        return [String(status), { $ref: `#/components/responses/${name}` }];
      }),
  );
};
type Shared = Record<string, ReturnType<typeof errorAnswer | typeof openAiAnswer>>;

const STATUS_TEXT: Record<number, string> = {
  200: 'Done',
  201: 'Made',
  204: 'Done',
  207: 'A result per item',
};

const answers = (route: AnyRoute) =>
  Object.fromEntries(
    Object.entries(route.responses as Record<string, z.ZodType>).map(([status, schema]) => {
      const isEmpty = schema._zod.def.type === 'void';
      const type =
        route.stream === true
          ? 'text/event-stream'
          : route.lines === true
            ? 'application/x-ndjson'
            : 'application/json';
      return [
        status,
        {
          description: STATUS_TEXT[Number(status)] ?? 'Done',
          headers: Object.fromEntries(
            ['X-Request-Id', ...(route.rate === 'none' ? [] : ['RateLimit', 'RateLimit-Policy'])].map(
              (name) => [name, headerReference(name)],
            ),
          ),
          ...(isEmpty ? {} : { content: { [type]: { schema } } }),
        },
      ];
    }),
  );

/** Which credentials open a route; an empty one stands for none at all. */
const security = (route: AnyRoute): Record<string, string[]>[] => {
  const takes = (...who: string[]) => who.some((one) => route.who.includes(one as never));
  return [
    ...(takes('public') ? [{}] : []),
    ...(takes('client', 'miner', 'admin', 'vote', 'trade', 'public') ? [{ apiKey: [] }] : []),
    ...(takes('client') ? [{ bearer: [] }] : []),
    ...(takes('user', 'client', 'public') ? [{ session: [] }] : []),
  ];
};

const whoText = (route: AnyRoute): string =>
  route.who.includes('public')
    ? 'Open to anyone.'
    : `For: ${route.who.map((who) => ({ client: 'clients', miner: 'miners', admin: 'operators', user: 'users', trade: 'keys with the scope trade', vote: 'keys with the scope vote', public: '' })[who]).join(', ')}.`;

const insteadText = ({ alias }: AnyRoute): string[] =>
  alias === undefined
    ? []
    : [`For programs written for the original coordinator; new ones use \`${alias}\`.`];

const operation = (route: AnyRoute, shared: Shared): ZodOpenApiOperationObject => {
  const headers: Record<string, z.ZodType> = {};
  if (route.idempotent === true) {
    headers['Idempotency-Key'] = z.string().min(1).max(255).optional().meta({
      description:
        'The same key and body again: the stored answer, one effect. Kept 24 h, unless the operator set another time.',
      example: 'order-2026-11-24-0001',
    });
  }
  if (route.speaks === 'openai' && route.method === 'POST') {
    const number = (description: string, example: string) =>
      z.string().max(20).optional().meta({ description, example });
    headers['X-AITBC-Price'] = number('AITBC for this answer; `free` or nothing is 0', '0.25');
    headers['X-AITBC-Max-Wait'] = number('Seconds until a miner has it: 1 to 600, 60 without', '20');
    headers['X-AITBC-Timeout'] = number('Seconds that it may run: 1 to 1,800, 300 without', '120');
    headers['Idempotency-Key'] = z.string().min(1).max(255).optional().meta({
      description: 'The same key and body again: the same job and its answer. Kept 24 h.',
    });
  }
  if (route.stream === true) {
    headers['Last-Event-ID'] = z.string().max(40).optional().meta({ description: 'Resume after this event' });
  }
  return {
    operationId: route.name,
    tags: [route.tag],
    summary: route.summary,
    description: [route.description, whoText(route), ...insteadText(route)].filter(Boolean).join('\n\n'),
    ...(route.alias === undefined ? {} : { deprecated: true }),
    security: security(route),
    requestParams: {
      ...(route.params === undefined ? {} : { path: route.params }),
      ...(route.query === undefined ? {} : { query: route.query }),
      ...(Object.keys(headers).length === 0 ? {} : { header: z.object(headers) }),
    },
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: !mayOmitBody(route),
            content: { 'application/json': { schema: route.body } },
          },
        }),
    responses: {
      ...answers(route),
      ...errorAnswers([...commonCodes(route), ...(route.errors ?? [])], shared, route.speaks),
    } as ZodOpenApiOperationObject['responses'],
  };
};

const text = (description: string, type: string) => ({
  description,
  content: { [type]: { schema: z.string() } },
});
const operations = (shared: Shared) => ({
  '/health': {
    get: {
      operationId: 'gateway.health',
      tags: ['Operations'],
      summary: 'Is this process alive',
      security: [],
      responses: {
        200: {
          description: 'Alive',
          content: {
            'application/json': { schema: z.strictObject({ status: z.literal('ok'), service: z.string() }) },
          },
        },
        ...errorAnswers(['BAD_REQUEST'], shared),
      },
    },
  },
  '/health/ready': {
    get: {
      operationId: 'gateway.ready',
      tags: ['Operations'],
      summary: 'Can requests be answered; each dependency by name',
      security: [],
      responses: {
        200: { description: 'Ready', content: { 'application/json': { schema: Health } } },
        503: { description: 'Not ready', content: { 'application/json': { schema: Health } } },
        ...errorAnswers(['BAD_REQUEST'], shared),
      },
    },
  },
  '/metrics': {
    get: {
      operationId: 'gateway.metrics',
      tags: ['Operations'],
      summary: 'Prometheus metrics of the whole coordinator',
      description: 'In production for admin keys, and for whoever shows the METRICS_TOKEN as a bearer token.',
      security: [{}, { apiKey: [] }],
      responses: {
        200: text('Metrics', 'text/plain'),
        ...errorAnswers(['BAD_REQUEST', 'UNAUTHENTICATED', 'FORBIDDEN', 'RATE_LIMITED'], shared),
      },
    },
  },
});

/** What is sent to a webhook, for whoever writes a receiver. */
const webhooks = {
  event: {
    post: {
      // The receiver knows us by the signature.
      security: [{}],
      operationId: 'webhook.event',
      summary: 'An event of your account, sent to your webhook',
      description:
        'Signed as Standard Webhooks says: headers `webhook-id` (the same for each try), `webhook-timestamp`, `webhook-signature`.',
      requestBody: { required: true, content: { 'application/json': { schema: WebhookEvent } } },
      responses: { '2XX': { description: 'Taken. All else, and no answer within 10 s, is tried again' } },
    },
  },
} satisfies ZodOpenApiObject['webhooks'];

/** The OpenAPI 3.1 document of every public contract. */
export const buildOpenApi = (routes: readonly AnyRoute[] = allRoutes) => {
  const shown = routes.filter((route) => route.internal !== true);
  const shared: Shared = {};
  const paths: Record<string, Record<string, unknown>> = { ...operations(shared) };
  for (const route of shown) {
    const path = route.path.replace(/:([a-z_]+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route, shared) };
  }
  const used = new Set([...shown.map((route) => route.tag), 'Operations']);
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'AITBC coordinator',
      version: '1.0.0',
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'This coordinator; /api is a prefix that means the same' }],
    tags: [...used].map((name) => ({ name, description: TAGS[name] ?? name })),
    paths: paths as ZodOpenApiPathsObject,
    webhooks,
    components: {
      responses: shared as ZodOpenApiComponentsObject['responses'] & object,
      securitySchemes: {
        apiKey: {
          type: 'apiKey',
          in: 'header',
          name: 'X-Api-Key',
          description: 'A key with client, miner or admin scope',
        },
        bearer: { type: 'http', scheme: 'bearer', description: 'A key with client scope' },
        session: {
          type: 'apiKey',
          in: 'header',
          name: 'X-Session-Token',
          description: 'From POST /v1/users/login',
        },
      },
      headers: {
        'X-Request-Id': {
          description: 'Name this when something went wrong',
          schema: { type: 'string' },
        },
        RateLimit: {
          description: 'What is left and when more comes back (draft-ietf-httpapi-ratelimit-headers-08)',
          schema: { type: 'string' },
          example: '"client";r=99;t=60',
        },
        'RateLimit-Policy': {
          description: 'The quota and its window in seconds',
          schema: { type: 'string' },
          example: '"client";q=100;w=60',
        },
        'Retry-After': { description: 'Seconds', schema: { type: 'integer' } },
      },
    },
  });
};

/** Everything the services say to each other, as JSON Schema. */
export const buildMessages = () => ({
  description: 'Messages between the services; `to` names the mailboxes. See docs/architecture.md.',
  messages: Object.fromEntries(
    (Object.keys(messages) as (keyof Messages)[]).sort().map((name) => {
      const { schema, ...message } = messages[name];
      return [name, { ...message, schema: z.toJSONSchema(schema, { io: 'input' }) }];
    }),
  ),
});
