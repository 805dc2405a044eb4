import { afterAll, beforeAll, describe } from 'vitest';
import { STARTING_MS } from '../coordinator.ts';
import { packedSdk } from './packed-sdk.ts';
import { startWorld, type World } from './world.ts';

// The SDK and the command line as people get them, against one running system.

let world: World;
beforeAll(async () => {
  world = await startWorld();
}, STARTING_MS);
afterAll(async () => {
  await world?.coordinator.stop();
});

describe('the packed SDK', () => packedSdk(() => world));
