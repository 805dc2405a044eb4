import { type AnyRoute, allRoutes, PROBLEM_STATUS, ProblemBody, routes } from '@aitbc/contracts';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { z } from 'zod';
import { KINDS, type Kind, type Scene, setScene } from '../authorization/cast.ts';
import { type Coordinator, must, startCoordinator } from '../coordinator.ts';
import { hostile, sentFor } from './from-schema.ts';

// Requests made from the contracts, most of them wrong in one place, through the whole stack. Nothing may fail on our
// side, every answer must be one that the contract declares, and nobody else may be slowed down or stopped by it.
// FUZZ_REQUESTS=100000 FUZZ_SEED=1 npm test -- tests/fuzz

const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? 5_000);
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000);
const AT_ONCE = 12;
/** A long-poll is asked to hold for a second at most. */
const ANSWER_WITHIN_MS = 10_000;

let coordinator: Coordinator;
let scene: Scene;
let restartsBefore: object;
const restarts = () => coordinator.stack.processes.map(({ name, restarts: count }) => [name, count]);
beforeAll(async () => {
  coordinator = await startCoordinator();
  scene = await setScene(coordinator);
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

/** Half of the ids are of things that are there. */
const idsOf = (name: string): unknown[] => {
  const known: Record<string, unknown[]> = {
    job_id: [scene.job, scene.endedJob, scene.payment.job_id],
    payment_id: [scene.payment.id],
    gpu_id: [scene.gpu],
    order_id: [scene.order],
    proposal_id: [scene.proposal],
    user_id: Object.values(scene.accounts),
    account_id: Object.values(scene.accounts),
    hash: [scene.transaction.hash],
    height: [scene.transaction.block_height],
    address: [scene.transaction.to],
    model: ['RTX 4090'],
  };
  return known[name] ?? [];
};

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
/** Half a surrogate pair cannot stand in an address at all. */
const encode = (value: unknown): string => encodeURIComponent(textOf(value).toWellFormed());

const pathFor = (route: AnyRoute): fc.Arbitrary<string> => {
  const names = [...route.path.matchAll(/:([a-z_]+)/g)].map((match) => match[1] as string);
  const values = names.map((name) => {
    const known = idsOf(name);
    const any = fc.oneof(hostile, fc.uuid({ version: 7 }));
    return known.length === 0
      ? any
      : fc.oneof({ weight: 2, arbitrary: fc.constantFrom(...known) }, { weight: 1, arbitrary: any });
  });
  return fc
    .tuple(...values)
    .map((given) =>
      names.reduce((path, name, index) => path.replace(`:${name}`, encode(given[index])), route.path),
    );
};

const queryFor = (route: AnyRoute): fc.Arbitrary<string> => {
  if (route.query === undefined) {
    return fc.oneof(
      { weight: 9, arbitrary: fc.constant('') },
      { weight: 1, arbitrary: fc.constant('?extra=1') },
    );
  }
  return sentFor(route.query as z.ZodType).map((query) => {
    if (query === null || typeof query !== 'object') return `?${encode(query)}`;
    const fields = Object.entries(query)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => {
        const shorter = name === 'wait_seconds' && Number(textOf(value)) > 1 ? 1 : value;
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
  const whole = sentFor(route.body as z.ZodType).map((value) => JSON.stringify(value) ?? '');
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
  fc.record(
    {
      'content-type': fc.constantFrom(
        'application/json',
        'application/json; charset=utf-8',
        // JSON too, as people write it; what follows is not.
        'application/json;charset=utf8',
        'Application/JSON ; charset="UTF-8"',
        'application/vnd.api+json',
        'text/plain',
        'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x',
        'application/json; charset=utf-7',
      ),
      ...(route.idempotent === true
        ? { 'idempotency-key': fc.oneof(fc.constantFrom('same', 'x'.repeat(256), ' ', '/'), fc.uuid()) }
        : {}),
      'content-encoding': fc.constantFrom('identity', 'gzip', 'br'),
      'last-event-id': fc.constantFrom('0', '-1', '1e9', 'x', '99999999999999999999'),
      'x-request-id': fc.constantFrom('good-request-id', 'a b', '{}', 'x'.repeat(300)),
    },
    { requiredKeys: [] },
  ) as fc.Arbitrary<Record<string, string>>;

/** Callers who get in come more often; signing out would end the user's own session for all that follow. */
const kindFor = (route: AnyRoute): fc.Arbitrary<Kind> => {
  const others: Kind[] = KINDS.filter((kind) => kind !== 'user');
  const insiders: Kind[] = [
    'clientA',
    'minerA',
    'admin',
    ...(route.name === 'gateway.logout' ? [] : ['user' as const]),
  ];
  return fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...insiders) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );
};

const shotsAt = (route: AnyRoute, count: number): Shot[] =>
  fc
    .sample(fc.tuple(pathFor(route), queryFor(route), bodyFor(route), headersFor(route), kindFor(route)), {
      numRuns: count,
      seed: SEED + published.indexOf(route),
    })
    .map(([path, query, body, headers, kind]) => ({ route, kind, path: path + query, body, headers }));

/** What no answer may show: our code, our database, our disk. */
const LEAK =
  /node_modules|SQLITE|sqlite|\bat [\w.<>]+ \(|\.ts:\d|\/services\/|ZodError|constraint failed|ECONN|undefined is not/;

/** What each route answered. */
const tally = new Map<AnyRoute, number[]>(published.map((route) => [route, []]));

/** @returns what is wrong with the answer, or null. */
const fire = async ({ route, kind, path, body, headers }: Shot): Promise<string | null> => {
  const startedAt = performance.now();
  const response = await fetch(coordinator.url + path, {
    method: route.method,
    headers: { ...headers, ...scene.credentials[kind] },
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
  const json = text === '' ? undefined : JSON.parse(text);
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
  return parsed.success
    ? null
    : `${status} breaks its schema: ${JSON.stringify(parsed.error.issues).slice(0, 300)}`;
};

test(`${REQUESTS} requests made from the contracts (seed ${SEED})`, {
  timeout: 60_000 + REQUESTS * 40,
}, async () => {
  const each = Math.ceil(REQUESTS / published.length);
  const shots = published.flatMap((route) => shotsAt(route, each));
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
  expect(shots.length).toBeGreaterThanOrEqual(REQUESTS);
  expect(wrong.slice(0, 20)).toEqual([]);
});

test('the requests got past the door: every route was reached, and a good part of them was accepted', () => {
  const counts: Record<number, number> = {};
  for (const status of [...tally.values()].flat()) counts[status] = (counts[status] ?? 0) + 1;
  const accepted = Object.entries(counts).filter(([status]) => Number(status) < 300);
  const share = accepted.reduce((sum, [, count]) => sum + count, 0) / REQUESTS;
  expect({ counts, share }).toMatchObject({ share: expect.toSatisfy((part: number) => part > 0.15) });
  expect(counts[422]).toBeGreaterThan(REQUESTS / 10);
  const shut = [...tally].filter(([, statuses]) => !statuses.some((status) => ![401, 403].includes(status)));
  expect(shut.map(([route]) => route.name)).toEqual([]);
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
