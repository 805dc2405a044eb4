import { expect, it } from 'vitest';
import type { Coordinator, Registration } from './coordinator.ts';
import { createRegistry } from './registration.ts';

type Registered = Awaited<ReturnType<Coordinator['register']>>;

it('tells of a change that came while the first registration was under way', async () => {
  let capabilities = ['ocr'];
  const told: Registration[] = [];
  const answers: ((answer: Registered) => void)[] = [];
  const registry = createRegistry({
    coordinator: {
      register: (body) =>
        new Promise((resolve) => {
          told.push(body);
          answers.push(resolve);
        }),
    },
    describe: () => ({ capabilities }) as unknown as Registration,
    backoff: { baseMs: 1, capMs: 1 },
    signal: new AbortController().signal,
    log: { info: () => {}, warn: () => {} } as never,
    onKeyRefused: () => {},
    onRefused: () => {},
  });
  const ok = { kind: 'ok', status: 201, body: { id: 'm' } } as unknown as Registered;

  // Nobody is told before there is a registration.
  await registry.update();
  expect(told).toEqual([]);

  const registered = registry.register();
  capabilities = ['ocr', 'embedding'];
  await registry.update();
  answers[0]?.(ok);
  await expect.poll(() => told.length).toBe(2);
  answers[1]?.(ok);
  await registered;
  expect(told.map((body) => body.capabilities)).toEqual([['ocr'], ['ocr', 'embedding']]);
});
