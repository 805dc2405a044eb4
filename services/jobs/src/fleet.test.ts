import { newId } from '@aitbc/contracts';
import { expect, test } from 'vitest';
import { createFleet } from './fleet.ts';
import type { MinerOffer } from './tables.ts';

const offerOf = (): MinerOffer => ({
  miner_id: newId(),
  account_id: newId(),
  revision: 1,
  status: 'active',
  capabilities: ['custom'],
  gpus: [],
  cuda_version: null,
  models: [],
  region: null,
  price_per_job_minor: 0,
  concurrency: 1,
  reputation: 1,
});

test('names that no miner has push no miner out; of miners, the one named longest ago goes', () => {
  const fleet = createFleet({ namedMax: 2 });
  const offers = [offerOf(), offerOf(), offerOf()] as const;
  for (const offer of offers) fleet.setMiner(offer);
  const [first, second, third] = offers;
  const isNamed = (offer: MinerOffer): boolean => {
    fleet.forgetTold();
    return fleet.describe(offer).capability?.miner_id === offer.miner_id;
  };
  expect(fleet.name(first.miner_id)).toBe(true);
  for (let at = 0; at < 10; at++) expect(fleet.name(newId())).toBe(false);
  expect(offers.map(isNamed)).toEqual([true, false, false]);

  expect(fleet.name(second.miner_id)).toBe(true);
  expect(fleet.name(first.miner_id)).toBe(false);
  expect(fleet.name(third.miner_id)).toBe(true);
  expect(offers.map(isNamed)).toEqual([true, false, true]);
});
