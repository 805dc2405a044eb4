import { expect, test } from 'vitest';
import { createShare } from './shares.ts';

test('an account fills its own share, is told so, and gets back what it gave back, once', () => {
  const share = createShare({ max: 2, code: 'TOO_MANY_POLLS', what: 'polls', retryAfterSeconds: 5 });
  const first = share.take('a');
  share.take('a');
  expect(() => share.take('a')).toThrow(
    expect.objectContaining({ code: 'TOO_MANY_POLLS', details: { limit: 2 }, retryAfterSeconds: 5 }),
  );
  share.take('b');
  first();
  first();
  share.take('a');
  expect(() => share.take('a')).toThrow('2 polls');
});

test('what takes more of a share leaves less of it', () => {
  const share = createShare({ max: 10, code: 'TOO_MANY_POLLS', what: 'KB', retryAfterSeconds: 5 });
  const most = share.take('a', 8);
  expect(() => share.take('a', 3)).toThrow('10 KB');
  share.take('a', 2);
  most();
  share.take('a', 8);
  expect(() => share.take('a')).toThrow('10 KB');
});
