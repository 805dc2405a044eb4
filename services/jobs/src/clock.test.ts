import { newId } from '@aitbc/contracts';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Stack, startStack, workFor } from './stack.fixture.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

test('after a clock that ran an hour ahead was put right, a job has its own times', async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 });
  newId();
  vi.useRealTimers();
  const job = await stack.client().submit({ ...workFor('nobody'), ttl_seconds: 2 });
  const aheadMs = (time: string) => Date.parse(time) - Date.now();
  expect(aheadMs(job.created_at)).toBeLessThan(1_000);
  expect(aheadMs(job.expires_at)).toBeLessThan(3_000);
});
