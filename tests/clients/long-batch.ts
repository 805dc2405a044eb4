import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { expect, test } from 'vitest';
import { openTerminal } from '../../clients/cli/src/testing/terminal.ts';
import { every, nothingPlayed, playMiner, repeated } from '../careful.ts';
import { must, registerMiner } from '../coordinator.ts';
import { installedCli, type World } from './world.ts';

/** Enough for two kills and a cut in their middle. BATCH_LINES=10000 takes ten times as long, and shows no more. */
const LINES = Number(process.env.BATCH_LINES ?? 1_000);
const CHUNK = LINES / 10;

/** A way to a server that can be cut: all connections, and for a while every new one. */
const wayTo = async (url: string) => {
  const { port, hostname } = new URL(url);
  const open = new Set<Socket>();
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) return void near.destroy();
    const far = connect(Number(port), hostname);
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('close', () => open.delete(socket)).on('error', () => {});
    }
    near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    isCut = true;
    for (const socket of open) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    cut,
    mend: () => {
      isCut = false;
    },
    close: () => {
      cut();
      server.close();
    },
  };
};

const linesIn = (file: string): string[] =>
  existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];

export const longBatch = (world: () => World) => {
  test('killed twice and cut off once: each line has one job and one result', {
    timeout: 300_000,
  }, async () => {
    const { coordinator } = world();
    const account = await coordinator.newAccount(['client']);
    const leaving = new AbortController();
    const miner = await registerMiner(coordinator.miner, {
      name: 'for the batch',
      capabilities: ['custom'],
      concurrency: 64,
    });
    const playing = playMiner({
      caller: coordinator.miner,
      minerId: miner.id,
      maxJobs: 32,
      work: (items) => items.map(({ parameters }) => ({ was: parameters.input })),
      played: nothingPlayed(),
      leaving: leaving.signal,
    });
    const way = await wayTo(coordinator.url);
    try {
      const { home, start } = openTerminal({ AITBC_URL: way.url, AITBC_API_KEY: account.key }, [
        process.execPath,
        installedCli(world()),
      ]);
      const input = Array.from({ length: LINES }, (_, at) => ({ input: `line ${at + 1}` }));
      // One that is refused, somewhere in the middle.
      input[LINES / 2] = { input: 'x', extra: 1 } as never;
      writeFileSync(join(home, 'in.jsonl'), input.map((line) => `${JSON.stringify(line)}\n`).join(''));
      const results = join(home, 'in.results.jsonl');
      const begin = () =>
        start('jobs', 'batch', 'in.jsonl', '--type', 'custom', '--chunk', String(CHUNK), '--ahead', '2');
      const untilResults = (count: number) =>
        eventually(() => linesIn(results).length >= count, { withinMs: 240_000, everyMs: 5 });
      const kill = async (child: ReturnType<typeof start>) => {
        const gone = once(child, 'exit');
        child.kill('SIGKILL');
        await gone;
      };

      // Killed while the first chunks are submitted, before anything came of it.
      const first = begin();
      await eventually(() => linesIn(`${results}.journal`).length >= 1, { withinMs: 60_000, everyMs: 1 });
      await kill(first);
      // Killed with results there.
      const second = begin();
      await untilResults(LINES * 0.2);
      await kill(second);
      // A kill may cut a line in two.
      const whole = linesIn(results);
      writeFileSync(
        results,
        `${whole.map((line) => `${line}\n`).join('')}{"line": ${whole.length + 1}, "job_i`,
      );
      const third = begin();
      let said = '';
      third.stderr?.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
      await untilResults(LINES * 0.5);
      way.cut();
      setTimeout(way.mend, 1_000);
      const [exit] = await once(third, 'close');

      const lines = linesIn(results).map((line) => JSON.parse(line));
      expect(lines.map(({ line }) => line)).toEqual(input.map((_, at) => at + 1));
      expect(said).toContain(`${LINES} lines: ${LINES - 1} completed, 0 failed, 1 refused.`);
      expect(exit).toBe(9);
      for (const [at, { status, result, error }] of lines.entries()) {
        if (at === LINES / 2) expect([status, error.code]).toEqual(['refused', 'VALIDATION_ERROR']);
        else expect([status, result]).toEqual(['completed', { was: `line ${at + 1}` }]);
      }
      const jobs = await every(async (cursor) =>
        must(await account.caller.call(routes.jobs.list, { query: { limit: 500, ...cursor } })),
      );
      expect(jobs).toHaveLength(LINES - 1);
      expect(repeated(lines.flatMap(({ job_id }) => job_id ?? []))).toEqual([]);

      // Once more: nothing is left to do.
      const again = begin();
      expect(await once(again, 'close')).toEqual([9, null]);
      expect(linesIn(results)).toHaveLength(LINES);
    } finally {
      leaving.abort();
      await playing;
      way.close();
    }
  });
};
