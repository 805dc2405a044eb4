import { expect, test } from 'vitest';
import { createOutputSender, type OutputAnswer, type OutputPart } from './output.ts';

/** A way that keeps each request until `answer`, and notes what was in a hurry. */
const setUp = () => {
  const log: string[] = [];
  let waiting: { take: () => OutputPart; settle: (answer: OutputAnswer) => void } | undefined;
  const sender = createOutputSender({
    isAwaited: true,
    line: {
      send: (take) =>
        new Promise((settle) => {
          waiting = { take, settle };
          log.push('send');
        }),
      hurry: () => log.push('hurry'),
    },
    onLost: () => {},
  });
  /** The request leaves with what it takes, and somebody listens. */
  const answer = async (): Promise<readonly string[]> => {
    const { take, settle } = waiting as NonNullable<typeof waiting>;
    const { seq, chunks } = take();
    settle({ listening: true, seq: seq + chunks.length });
    await new Promise(setImmediate);
    return chunks;
  };
  return { sender, log, answer };
};

test('who speaks and the first word wait for nothing; what follows waits for company', async () => {
  const { sender, log, answer } = setUp();
  sender.add({ role: 'assistant' });
  expect(log.splice(0)).toEqual(['send', 'hurry']);
  expect(await answer()).toEqual(['{"role":"assistant"}']);

  sender.add({ content: 'Once' });
  expect(log.splice(0)).toEqual(['send', 'hurry']);
  expect(await answer()).toEqual(['{"content":"Once"}']);

  sender.add({ content: ' upon' });
  sender.add({ content: ' a time' });
  expect(log.splice(0)).toEqual(['send']);
  expect(await answer()).toHaveLength(2);
  sender.stop();
});

test('what is much waits for nothing', async () => {
  const { sender, log, answer } = setUp();
  for (const content of ['a', 'b']) {
    sender.add({ content });
    await answer();
  }
  log.length = 0;
  sender.add({ content: 'c' });
  expect(log.splice(0)).toEqual(['send']);
  sender.add({ content: 'd'.repeat(5_000) });
  expect(log.splice(0)).toEqual(['hurry']);
  sender.stop();
});
