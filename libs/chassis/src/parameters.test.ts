import { newId, type Payload } from '@aitbc/contracts';
import { scratchDatabase } from '@aitbc/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createParameters, openStore, type Parameters, type Store } from './index.ts';

let url: string;
let store: Store;
let parameters: Parameters<'miners'>;
const begin = async () => {
  store = await openStore({ url, service: 'miners', migrations: { sqlite: {}, postgres: {} } });
  parameters = await createParameters(store, 'miners');
};
beforeEach(async () => {
  url = scratchDatabase('miners');
  await begin();
});
afterEach(() => store.close());

type Change = Payload<'governance.parameter_changed'>;
const apply = (version: number, value: unknown, name: Change['name'] = 'heartbeat_timeout_seconds') =>
  store.transact('test', (trx) => parameters.apply(trx, { name, value, version, proposal_id: newId() }));
const timeout = () => parameters.get('heartbeat_timeout_seconds');

test('the default, until a vote changes it; an older or repeated change is ignored', async () => {
  expect(timeout()).toBe(30);
  await apply(2, 60);
  expect(timeout()).toBe(60);
  await apply(1, 45);
  await apply(2, 50);
  expect(timeout()).toBe(60);
  await apply(3, 90);
  expect(timeout()).toBe(90);
});

test('a change outlives a restart', async () => {
  await apply(1, 60);
  await store.close();
  await begin();
  expect(timeout()).toBe(60);
  await apply(1, 70);
  expect(timeout()).toBe(60);
});

test('a value outside the bounds is not applied; another service’s parameter is none of ours', async () => {
  await expect(apply(1, 5)).rejects.toThrow();
  await expect(apply(1, '60')).rejects.toThrow();
  await apply(1, 500, 'platform_fee_basis_points');
  expect(timeout()).toBe(30);
});

test('an undone transaction changes nothing that is read', async () => {
  const undone = store.transact('test', async (trx) => {
    await parameters.apply(trx, {
      name: 'heartbeat_timeout_seconds',
      value: 60,
      version: 1,
      proposal_id: newId(),
    });
    throw new Error('no');
  });
  await expect(undone).rejects.toThrow('no');
  expect(timeout()).toBe(30);
});
