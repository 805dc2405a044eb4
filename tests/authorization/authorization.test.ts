import { type AnyRoute, nativeRoutes, OpenAiErrorBody, ProblemBody } from '@aitbc/contracts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Coordinator, startCoordinator } from '../coordinator.ts';
import { callAs, KINDS, type Kind, type Scene, setScene } from './cast.ts';
import { TABLE } from './table.ts';

// Every contract, called by every kind of caller through the whole stack.

let coordinator: Coordinator;
let scene: Scene;
beforeAll(async () => {
  // Answers are compared with the contracts, to which programs of the original are told further names.
  coordinator = await startCoordinator({ env: { LEGACY_ROUTES: 'off' } });
  scene = await setScene(coordinator);
}, 120_000);
afterAll(() => coordinator?.stop());

const published = nativeRoutes.filter((route) => route.internal !== true);

test('every contract stands in the table, and nothing else does', () => {
  expect(Object.keys(TABLE).sort()).toEqual(published.map((route) => route.name).sort());
});

const isStream = ({ stream, lines }: AnyRoute): boolean => stream === true || lines === true;
const callerFor = async (route: AnyRoute, kind: Kind) =>
  route.name === 'gateway.logout' && kind === 'user' ? scene.throwAwayUser() : scene.callers[kind];

test.each(published.map((route) => [route.name, route] as const))('%s', async (name, route) => {
  const row = TABLE[name];
  if (row === undefined) throw new Error(`${name} is not in the table`);
  const call = (await row.call?.(scene)) ?? {};
  const answers: Record<string, number> = {};
  for (const kind of KINDS) {
    const { status, ok, body } = isStream(route)
      ? await openStream(route, kind, call.params as Record<string, string>)
      : await callAs(await callerFor(route, kind), route, call);
    answers[kind] = status;
    const shape = route.speaks === 'openai' ? OpenAiErrorBody : ProblemBody;
    if (!ok) expect(shape.safeParse(body).error).toBeUndefined();
    else if (!isStream(route)) {
      const { error } = route.responses[status].safeParse(body);
      expect([name, kind, error?.issues]).toEqual([name, kind, undefined]);
    }
  }
  expect(answers).toEqual(row.expected);
});

/** A stream is not JSON: its first answer is what counts. */
const openStream = async (route: AnyRoute, kind: Kind, params: Record<string, string>) => {
  const path = route.path.replace(/:([a-z_]+)/g, (_, param: string) => params[param] as string);
  const response = await fetch(coordinator.url + path, { headers: scene.credentials[kind] });
  if (!response.ok) return { status: response.status, ok: false, body: await response.json() };
  await response.body?.cancel();
  return { status: response.status, ok: true, body: undefined };
};
