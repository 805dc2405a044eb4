import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newId } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  sqliteOnly,
  testEngine,
} from '@aitbc/testing';
import { expect } from 'vitest';
import { standInRoutes, startStandIn } from './testing-processes/stand-in.ts';

const directory = scratchDirectory();
const mounted = (() => {
  if (testEngine !== 'sqlite') return false;
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', directory], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

sqliteOnly('the disk under a file', mounted).test(
  'a full disk: 503 by name, and all goes on by itself when there is room',
  async () => {
    try {
      const jobs = await startStandIn('jobs', serviceEnv('jobs', directory, await scratchRedis()), (reason) =>
        expect.fail(reason),
      );
      const say = () =>
        callerOf(jobs.url, someone(['client'])).call(standInRoutes.say, {
          body: { job_ids: Array.from({ length: 200 }, newId) },
        });
      const filler = join(directory, 'filler');
      try {
        writeFileSync(filler, Buffer.alloc(8 * 1024 * 1024));
      } catch {
        // As much of it as there was room for.
      }
      const refused = await eventually(async () => {
        const reply = await say();
        return reply.status === 503 && reply;
      });
      expect(refused.body).toMatchObject({ error: { code: 'SERVICE_UNAVAILABLE' } });
      const together = await Promise.all(Array.from({ length: 10 }, say));
      expect(together.map(({ status }) => status)).toEqual(Array(10).fill(503));
      const ready = await fetch(`${jobs.url}/health/ready`);
      expect(ready.status).toBe(503);
      expect(JSON.stringify(await ready.json())).toContain('jobs.db cannot be written: the disk is full');
      rmSync(filler);
      await eventually(async () => (await say()).status === 201);
      await eventually(async () => (await fetch(`${jobs.url}/health/ready`)).status === 200);
      await jobs.stop();
    } finally {
      execFileSync('umount', ['-l', directory]);
    }
  },
);
