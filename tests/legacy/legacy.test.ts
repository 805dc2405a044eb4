import { afterAll, beforeAll, describe } from 'vitest';
import { type Coordinator, STARTING_MS, startCoordinator } from '../coordinator.ts';
import { hosting } from './host.ts';
import { jobRows } from './jobs.ts';
import { oddBodies } from './odd.ts';
import { oneQueue } from './one-queue.ts';
import { publicReads } from './public.ts';
import { sessions } from './sessions.ts';

// Programs that were written for the original coordinator, against one running system.

let coordinator: Coordinator;
beforeAll(async () => {
  coordinator = await startCoordinator();
}, STARTING_MS);
afterAll(() => coordinator?.stop());

const given = (): Coordinator => coordinator;

describe('what they say about jobs', () => jobRows(given));
describe('their sessions', () => sessions(given));
describe('a miner host', () => hosting(given));
describe('bodies of theirs', () => oddBodies(given));
describe('what anyone may read, and nobody may do', () => publicReads(given));
describe('beside our own agent', () => oneQueue(given));
