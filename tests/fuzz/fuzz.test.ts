import {
  type AnyRoute,
  allRoutes,
  dialects,
  OpenAiErrorBody,
  PARAMETER_NAMES,
  PROBLEM_STATUS,
  ProblemBody,
  routes,
  type Who,
} from '@aitbc/contracts';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { z } from 'zod';
import { KINDS, type Kind, type Scene, setScene } from '../authorization/cast.ts';
import { type Coordinator, must, startCoordinator } from '../coordinator.ts';
import { hostile, type Known, sentFor } from './from-schema.ts';
import { canBeKept, oddNumber, withTwin } from './odd-json.ts';

// Requests made from the contracts, most of them wrong in one place, through the whole stack. Nothing may fail on our
// side, every answer must be one that the contract declares, and nobody else may be slowed down or stopped by it.
// FUZZ_REQUESTS=100000 FUZZ_SEED=1 npm test -- tests/fuzz

const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? 5_000);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000);
const AT_ONCE = 12;
const ANSWER_WITHIN_MS = 10_000;
const WALLET = '0x70997970C51812dc3A010C7d01b50e0d17dc79C8';

let coordinator: Coordinator;
let scene: Scene;
/** Signs out instead of the scene's user, whose session all that follow need. */
let leaver: Record<string, string>;
let restartsBefore: object;
const restarts = () => coordinator.stack.processes.map(({ name, restarts: count }) => [name, count]);
beforeAll(async () => {
  coordinator = await startCoordinator();
  scene = await setScene(coordinator);
  leaver = { 'x-session-token': (await scene.newUser()).token };
  known = await thingsOf();
  bodies = await bodiesOf();
  restartsBefore = restarts();
}, 120_000);
afterAll(() => coordinator?.stop());

interface Shot {
  readonly route: AnyRoute;
  readonly kind: Kind;
  readonly path: string;
  readonly body: string | Uint8Array | undefined;
  readonly headers: Record<string, string>;
}

const published = allRoutes.filter((route) => route.internal !== true);

const several = async <T>(make: () => Promise<T>): Promise<T[]> => [await make(), await make(), await make()];

/** Fills fields and parts of paths of these names, mostly. */
let known: Known;
const thingsOf = async (): Promise<Known> => ({
  job_id: [scene.job, scene.endedJob, scene.payment.job_id, ...(await several(() => scene.waiting()))],
  payment_id: [scene.payment.id, await scene.invoice()],
  gpu_id: [scene.gpu, ...(await several(scene.offer))],
  order_id: [scene.order],
  proposal_id: [scene.proposal, ...(await several(scene.newProposal))],
  miner_id: [scene.miners.a],
  key_id: [...(await several(scene.userKey)), ...(await several(scene.adminKey))],
  session_id: await several(scene.otherSession),
  user_id: Object.values(scene.accounts),
  account_id: Object.values(scene.accounts),
  hash: [scene.transaction.hash],
  height: [scene.transaction.block_height],
  address: [scene.transaction.to],
  model: ['RTX 4090'],
  name: PARAMETER_NAMES,
  capabilities: [['ocr'], ['language_detection', 'custom']],
  wallet_address: [WALLET],
  // Opaque, or bound to what a test cannot guess: mostly left out.
  cursor: [undefined],
  expires_at: [undefined],
  instance_id: [undefined],
});

/** Bodies whose fields have to fit each other, by contract. */
let bodies: Record<string, readonly unknown[]>;
const bodiesOf = async (): Promise<typeof bodies> => {
  const jobs = [
    { job_type: 'language_detection', parameters: { text: 'wo ist' }, priority: 9, labels: ['a'] },
    { job_type: 'embedding', parameters: { model: 'm', input: ['a', 'b'] }, max_attempts: 1 },
    { job_type: 'custom', parameters: { input: { some: [1, 2.5, null] } }, payment_amount: 0.5 },
  ];
  return {
    'jobs.submit': jobs,
    'jobs.submit_batch': [{ jobs: [...jobs, 7] }],
    'market.book': [{ duration_hours: 0.5 }],
    'governance.propose': [scene.proposalBody],
    'payments.create': (await several(() => scene.waiting())).map((job_id) => ({ job_id, amount: 1 })),
    'payments.exchange_create': [{ aitbc_amount: 1 }, { btc_amount: 0.001 }],
    'payments.dev_bitcoin_send': [{ payment_id: await scene.invoice() }],
  };
};

/** They end what they name for all who come after; so the first of each kind is not given to them. */
const ENDING = [
  'market.withdraw',
  'governance.cancel',
  'governance.veto',
  'jobs.cancel',
  'jobs.wipe',
  'jobs.legacy_cancel',
  'jobs.legacy_delete',
];
const thingsFor = (route: AnyRoute, name: string): readonly unknown[] | undefined =>
  ENDING.includes(route.name) ? known[name]?.slice(1) : known[name];

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
/** Half a surrogate pair cannot stand in an address at all. */
const encode = (value: unknown): string => encodeURIComponent(textOf(value).toWellFormed());
/** What is longer than an address may be is refused before anybody looks at it: once in a while is enough. */
const hostilePart = fc.oneof(
  { weight: 6, arbitrary: hostile.map((value) => textOf(value).slice(0, 200)) },
  { weight: 1, arbitrary: hostile },
);

const pathFor = (route: AnyRoute): fc.Arbitrary<string> => {
  const names = [...route.path.matchAll(/:([a-z_]+)/g)].map((match) => match[1] as string);
  const values = names.map((name) => {
    const any = fc.oneof(hostilePart, fc.uuid({ version: 7 }));
    const things = thingsFor(route, name);
    return things === undefined
      ? any
      : fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...things) }, { weight: 1, arbitrary: any });
  });
  return fc
    .tuple(...values)
    .map((given) =>
      names.reduce((path, name, index) => path.replace(`:${name}`, encode(given[index])), route.path),
    );
};

/** A wait that is allowed and longer than anybody here waits for an answer. */
const isLongWait = (name: string, value: unknown): boolean =>
  name.endsWith('wait_seconds') && typeof value === 'number' && value > 1;

const queryFor = (route: AnyRoute): fc.Arbitrary<string> => {
  if (route.query === undefined) {
    return fc.oneof(
      { weight: 9, arbitrary: fc.constant('') },
      { weight: 1, arbitrary: fc.constant('?extra=1') },
    );
  }
  return sentFor(route.query as z.ZodType, known).map((query) => {
    if (query === null || typeof query !== 'object') return `?${encode(query)}`;
    const fields = Object.entries(query)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => {
        const shorter = isLongWait(name, Number(textOf(value))) ? 1 : value;
        return `${encode(name)}=${encode(shorter).slice(0, 3_000)}`;
      });
    return fields.length === 0 ? '' : `?${fields.join('&')}`;
  });
};

/** As it stands, cut off, doubled, or no JSON at all. */
const bodyFor = (route: AnyRoute): fc.Arbitrary<string | Uint8Array | undefined> => {
  if (route.method === 'GET') return fc.constant(undefined);
  if (route.body === undefined) {
    return fc.oneof(
      { weight: 6, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: hostile.map((value) => JSON.stringify(value)) },
    );
  }
  const whole = sentFor(route.body as z.ZodType, known, bodies[route.name]).map(
    (value) => JSON.stringify(value, (name, inner) => (isLongWait(name, inner) ? 1 : inner)) ?? '',
  );
  return fc.oneof(
    { weight: 12, arbitrary: whole },
    { weight: 1, arbitrary: fc.tuple(whole, fc.nat(200)).map(([text, cut]) => text.slice(0, -1 - cut)) },
    { weight: 1, arbitrary: whole.map((text) => text.replace('{', '{"__proto__":{"admin":true},')) },
    { weight: 1, arbitrary: whole.map((text) => text.replace(/^\{("[^"]+":)/, '{$11e999,$1')) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '',
        'null',
        '[]',
        '"x"',
        '{',
        '[[[[',
        'NaN',
        "{'a':1}",
        '{"a":1}}',
        '\uFEFF{}',
      ),
    },
  );
};

const headersFor = (route: AnyRoute): fc.Arbitrary<Record<string, string>> =>
  fc
    .record({
      'content-type': fc.oneof(
        {
          weight: 12,
          arbitrary: fc.constantFrom(
            'application/json',
            'application/json; charset=utf-8',
            // JSON too, as people write it; what follows is not.
            'application/json;charset=utf8',
            'Application/JSON ; charset="UTF-8"',
          ),
        },
        {
          weight: 1,
          arbitrary: fc.constantFrom(
            undefined,
            'application/vnd.api+json',
            'text/plain',
            'application/x-www-form-urlencoded',
            'multipart/form-data; boundary=x',
            'application/json; charset=utf-7',
          ),
        },
      ),
      'idempotency-key': fc.oneof(
        { weight: 3, arbitrary: fc.constant(undefined) },
        { weight: 3, arbitrary: fc.uuid() },
        { weight: 1, arbitrary: fc.constantFrom('same', 'x'.repeat(256), ' ', '/') },
      ),
      'content-encoding': fc.oneof(
        { weight: 20, arbitrary: fc.constantFrom(undefined, 'identity') },
        { weight: 1, arbitrary: fc.constantFrom('gzip', 'br') },
      ),
      'last-event-id': fc.constantFrom(undefined, '0', '-1', '1e9', 'x', '99999999999999999999'),
      'x-request-id': fc.constantFrom(undefined, 'good-request-id', 'a b', '{}', 'x'.repeat(300)),
    })
    .map((headers) =>
      Object.fromEntries(
        Object.entries(headers).filter(
          (header): header is [string, string] =>
            header[1] !== undefined && (header[0] !== 'idempotency-key' || route.idempotent === true),
        ),
      ),
    );

/** Which callers a contract lets in, by the cast. */
const LET_IN: Partial<Record<Who, Kind[]>> = {
  client: ['clientA', 'user'],
  miner: ['minerA'],
  admin: ['admin'],
  user: ['user'],
  vote: ['voterA'],
  public: ['nobody', 'clientA', 'minerA', 'user', 'admin'],
};

/** Callers who get in come more often. */
const kindFor = (route: AnyRoute): fc.Arbitrary<Kind> => {
  const insiders = route.who.flatMap((who) => LET_IN[who] ?? []);
  const anyone = fc.constantFrom(...KINDS);
  if (insiders.length === 0) return anyone;
  return fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...insiders) }, { weight: 1, arbitrary: anyone });
};

const shotsAt = (route: AnyRoute, count: number): Shot[] =>
  fc
    .sample(fc.tuple(pathFor(route), queryFor(route), bodyFor(route), headersFor(route), kindFor(route)), {
      numRuns: count,
      seed: SEED + published.indexOf(route),
    })
    .map(([path, query, body, headers, kind]) => ({ route, kind, path: path + query, body, headers }));

/** Holds each request for seconds, and nothing in it says how long. */
const HOLDS = 'jobs.legacy_poll_by_get';
const HELD_REQUESTS = 6;

/** Programs of the original are told further names in answers of ours. */
const isFurtherName = (issue: z.core.$ZodIssue): boolean =>
  issue.code === 'unrecognized_keys' ||
  (issue.code === 'invalid_union' && issue.errors.some((issues) => issues.every(isFurtherName)));
const isToldMore = (route: AnyRoute, issues: readonly z.core.$ZodIssue[]): boolean =>
  dialects[route.name]?.answer !== undefined && issues.every(isFurtherName);

const faultInLines = (route: AnyRoute, text: string): string | null => {
  const types = text
    .trimEnd()
    .split('\n')
    .map((line) => (route.responses[200] as z.ZodType).parse(JSON.parse(line)) as { type: string });
  return types.at(-1)?.type === 'end' ? null : `broke off: ${JSON.stringify(types.at(-1))}`;
};

/** What no answer may show: our code, our database, our disk. */
const LEAK =
  /node_modules|SQLITE|sqlite|\bat [\w.<>]+ \(|\.ts:\d|\/services\/|ZodError|constraint failed|ECONN|undefined is not/;

/** What each route answered. */
const tally = new Map<AnyRoute, number[]>(published.map((route) => [route, []]));

const credentialFor = (route: AnyRoute, kind: Kind): Record<string, string> =>
  route.name === 'gateway.logout' && kind === 'user' ? leaver : scene.credentials[kind];

/** @returns what is wrong with the answer, or null. */
const fire = async ({ route, kind, path, body, headers }: Shot): Promise<string | null> => {
  const startedAt = performance.now();
  const response = await fetch(coordinator.url + path, {
    method: route.method,
    headers: { ...headers, ...credentialFor(route, kind) },
    ...(body === undefined ? {} : { body: body as string }),
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  const { status } = response;
  tally.get(route)?.push(status);
  if (response.headers.get('x-request-id') === null) return `${status} without X-Request-Id`;
  if (response.headers.get('content-type')?.startsWith('text/event-stream') === true) {
    await response.body?.cancel();
    return route.stream === true ? null : 'a stream where none is declared';
  }
  const text = await response.text();
  if (status >= 500) return `${status} ${text.slice(0, 300)}`;
  if (LEAK.test(text) && !LEAK.test(textOf(body) + decodeURIComponent(path)))
    return `shows what is inside: ${text.slice(0, 300)}`;
  if (performance.now() - startedAt > ANSWER_WITHIN_MS) return 'was too slow';
  if (response.headers.get('content-type')?.startsWith('text/csv') === true)
    return route.name === 'payments.statement' ? null : 'a table where none is declared';
  if (route.lines === true && status === 200) return faultInLines(route, text);
  const json = text === '' ? undefined : JSON.parse(text);
  // Refused before it was known whose route it is, it has the one shape of all.
  if (status >= 400 && route.speaks === 'openai' && OpenAiErrorBody.safeParse(json).success) return null;
  if (status >= 400) {
    const problem = ProblemBody.safeParse(json);
    if (!problem.success) return `${status} is not in the error shape: ${text.slice(0, 300)}`;
    const { code } = problem.data.error;
    return PROBLEM_STATUS[code] === status ? null : `${code} came with ${status}`;
  }
  const schema = route.responses[status] as z.ZodType | undefined;
  // A path whose last part is empty or dots is another path.
  if (schema === undefined) return `answered ${status}, which it does not declare`;
  const parsed = schema.safeParse(json);
  return parsed.success || isToldMore(route, parsed.error.issues)
    ? null
    : `${status} breaks its schema: ${JSON.stringify(parsed.error.issues).slice(0, 300)}`;
};

test(`${REQUESTS} requests made from the contracts (seed ${SEED})`, {
  timeout: 60_000 + REQUESTS * 40,
}, async () => {
  const each = Math.ceil(REQUESTS / published.length);
  const shots = published.flatMap((route) => shotsAt(route, route.name === HOLDS ? HELD_REQUESTS : each));
  // Not route by route, so that all services are busy all the time.
  const order = fc.sample(fc.shuffledSubarray(shots, { minLength: shots.length }), {
    numRuns: 1,
    seed: SEED,
  })[0] as Shot[];
  const wrong: string[] = [];
  let next = 0;
  const worker = async () => {
    for (let shot = order[next++]; shot !== undefined; shot = order[next++]) {
      const problem = await fire(shot).catch((error) => `no answer: ${error}`);
      if (problem === null) continue;
      const body = shot.body === undefined ? '' : ` ${String(shot.body).slice(0, 400)}`;
      wrong.push(
        `${shot.route.name} as ${shot.kind}: ${problem}\n    ${shot.route.method} ${shot.path.slice(0, 300)} ${JSON.stringify(shot.headers)}${body}`,
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  expect(shots.length).toBeGreaterThanOrEqual(REQUESTS - each);
  expect(wrong.slice(0, 20)).toEqual([]);
});

test('the requests got past the door: every route was reached, and a good part of them was accepted', () => {
  const counts: Record<number, number> = {};
  for (const status of [...tally.values()].flat()) counts[status] = (counts[status] ?? 0) + 1;
  const accepted = Object.entries(counts).filter(([status]) => Number(status) < 300);
  const share = accepted.reduce((sum, [, count]) => sum + count, 0) / [...tally.values()].flat().length;
  // Measured: 0.28 to 0.30.
  expect({ counts, share }).toMatchObject({ share: expect.toSatisfy((part: number) => part > 0.15) });
  expect(counts[422]).toBeGreaterThan(REQUESTS / 10);
  const shut = [...tally].filter(([, statuses]) => !statuses.some((status) => ![401, 403].includes(status)));
  expect(shut.map(([route]) => route.name)).toEqual([]);
});

test('no number and no name is changed without a word', { timeout: 60_000 }, async () => {
  const headers = { 'content-type': 'application/json', ...scene.credentials.clientA };
  const path = routes.jobs.submit.path;
  const sent = async (body: string) => {
    const response = await fetch(coordinator.url + path, { method: 'POST', headers, body });
    const json = (await response.json()) as {
      id?: string;
      error?: { details: { issues: { path: string }[] } };
    };
    return {
      status: response.status,
      id: json.id,
      paths: json.error?.details.issues.map((issue) => issue.path),
    };
  };
  const job = {
    job_type: 'custom',
    parameters: { input: [{ x: 0 }, { y: { a: 1, 'b c': [{}] } }] },
    labels: ['a'],
  };
  const numbers = fc.asyncProperty(oddNumber, async (literal) => {
    const answer = await sent(JSON.stringify(job).replace('"x":0', `"x":${literal}`));
    if (!canBeKept(literal)) {
      expect({ literal, ...answer }).toMatchObject({ status: 422, paths: ['parameters.input.0.x'] });
      return;
    }
    expect({ literal, ...answer }).toMatchObject({ status: 201 });
    const kept = await (await fetch(`${coordinator.url}${path}/${answer.id}`, { headers })).text();
    const written = /"x":([^}]+)/.exec(kept)?.[1] as string;
    expect({ literal, written: Number(written) }).toEqual({ literal, written: Number(literal) + 0 });
  });
  const twins = fc.asyncProperty(withTwin(job), async ({ text, path: place }) => {
    expect({ text, ...(await sent(text)) }).toMatchObject({ status: 422, paths: [place] });
  });
  await fc.assert(numbers, { numRuns: 200, seed: SEED });
  await fc.assert(twins, { numRuns: 50, seed: SEED });
});

test('afterwards every process still runs and nothing failed inside', async () => {
  expect(restarts()).toEqual(restartsBefore);
  expect(
    coordinator.said.filter(({ line }) => /request failed|scheduled work failed/.test(line)).slice(0, 5),
  ).toEqual([]);
  const ready = await fetch(`${coordinator.url}/health/ready`);
  expect([ready.status, await ready.json()]).toMatchObject([200, { status: 'ok' }]);
  const letters = must(await coordinator.admin.call(routes.gateway.deadLetters, {}));
  expect(letters.items).toEqual([]);
});
