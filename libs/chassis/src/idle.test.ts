import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { eventually } from '@aitbc/testing';
import { afterEach, expect, test } from 'vitest';

/** Holds some 100 MB, is busy, then idle; a part of it is let go only after the first collection. Says when it collects. */
const BUSY_ONCE = `
  import { collectWhenIdle, whenIdle } from '${new URL('./idle.ts', import.meta.url)}';
  const say = (what) => console.log(what + ' ' + Math.round(process.memoryUsage.rss() / 1048576));
  let pages;
  let isBusy = true;
  collectWhenIdle(1_000);
  whenIdle(() => {
    say(isBusy ? 'busy' : 'idle');
    setTimeout(() => (pages = undefined), 20);
  });
  let kept = Array.from({ length: 500_000 }, (_, at) => ({ at, text: 'x' + at }));
  pages = Buffer.alloc(40 * 1048576, 1);
  const until = performance.now() + 2_500;
  const work = () => {
    while (performance.now() % 20 > 4);
    if (performance.now() < until) return setTimeout(work, 1);
    isBusy = false;
    kept = undefined;
    say('full');
    setInterval(() => say('holds'), 500);
  };
  work();
`;

let child: ChildProcess | undefined;
afterEach(() => child?.kill('SIGKILL'));

test('what a busy time left is given back when it is over, and not while it lasts', async () => {
  child = spawn(process.execPath, ['--input-type=module', '--eval', BUSY_ONCE], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const said: [string, number][] = [];
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  lines.on('line', (line) => {
    const [what, mb] = line.split(' ') as [string, string];
    said.push([what, Number(mb)]);
  });
  const countOf = (name: string): number => said.filter(([what]) => what === name).length;
  const full = await eventually(() => said.find(([what]) => what === 'full'));
  expect(said).toEqual([full]);
  // What the first collection did not find, one after it does: 30 MB of objects in 60 of pages, then 40.
  await eventually(() => (said.at(-1)?.[1] as number) < full[1] - 80);
  const collections = countOf('idle');
  const looks = countOf('holds');
  await eventually(() => countOf('holds') >= looks + 10);
  expect(collections).toBeGreaterThanOrEqual(2);
  expect(countOf('idle')).toBeLessThanOrEqual(collections + 1);
});
