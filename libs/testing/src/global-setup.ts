import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { findBroker } from './broker.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    redisUrl: string;
  }
}

/** One broker for the whole run; every worker takes a database number of its own in it. */
export default async (project: TestProject) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'broker-'));
  const broker = await findBroker({ dataDir, log: () => {} });
  project.provide('redisUrl', broker.url);
  return async () => {
    await broker.stop();
    rmSync(dataDir, { recursive: true, force: true });
  };
};
