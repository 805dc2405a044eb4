import { newId } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  TEST_PREFIX,
} from '@aitbc/testing';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { builder, type ChassisTables, createEnvelopes } from './index.ts';
import { effectsOf, standInRoutes, startStandIn } from './testing-processes/stand-in.ts';

const db = builder<ChassisTables>();
type StandIn = Awaited<ReturnType<typeof startStandIn>>;

let redisUrl: string;
let redis: Redis;
let services: StandIn[];
beforeEach(async () => {
  redisUrl = await scratchRedis();
  redis = new Redis(redisUrl);
  services = [];
});
afterEach(async () => {
  for (const service of services) await service.stop();
  redis.disconnect();
});

const start = async (
  name: 'jobs' | 'payments',
  directory: string,
  changes: Record<string, string> = {},
): Promise<StandIn> => {
  const service = await startStandIn(
    name,
    { ...serviceEnv(name, directory, redisUrl), ...changes },
    (reason) => expect.fail(reason),
  );
  services.push(service);
  return service;
};
const ids = (count: number): string[] => Array.from({ length: count }, newId);
const onceEach = (about: string[]) => new Map(about.map((each) => [each, 1]));
const say = (service: StandIn, job_ids: string[]) =>
  callerOf(service.url, someone(['client'])).call(standInRoutes.say, { body: { job_ids } });
const metric = async (service: StandIn, pattern: RegExp) =>
  Number(pattern.exec(await (await fetch(`${service.url}/metrics`)).text())?.[1] ?? 0);
const rows = (service: StandIn) =>
  service.store.read.all(db.selectFrom('outbox').select('seq').where('destination', '=', 'payments'));

test('a forged watermark deletes nothing: what its receiver has not heard arrives when it is there', async () => {
  const directory = scratchDirectory();
  const jobs = await start('jobs', directory);
  const said = ids(5);
  // A row each: the newest would stay in any case.
  for (const one of said) await say(jobs, [one]);
  const forge = (value: string) => redis.hset(`${TEST_PREFIX}:ack:payments`, jobs.store.stream, value);
  const other = createEnvelopes({
    SECRET_KEY: 'another secret of 32 characters ......',
    REDIS_PREFIX: TEST_PREFIX,
  });
  const genuine = createEnvelopes({
    SECRET_KEY: serviceEnv('jobs', directory, redisUrl).SECRET_KEY as string,
    REDIS_PREFIX: TEST_PREFIX,
  });
  const right = genuine.sealWatermark('payments', jobs.store.stream, 2, 2);
  const forgeries = [
    '5:5',
    other.sealWatermark('payments', jobs.store.stream, 5, 5),
    // Genuine words in another place: another receiver's, another stream's, other numbers under a right MAC.
    genuine.sealWatermark('miners', jobs.store.stream, 5, 5),
    genuine.sealWatermark('payments', 'jobs-another', 5, 5),
    right.replace(/^2:2/, '5:5'),
    '',
  ];
  for (const [index, value] of forgeries.entries()) {
    await forge(value);
    await eventually(
      async () => (await metric(jobs, /^redis_forgeries_total\{.*what="watermark".*\} (\d+)$/m)) > index,
    );
    expect(await rows(jobs)).toHaveLength(5);
  }
  await redis.flushdb();
  const payments = await start('payments', directory);
  await eventually(async () => (await effectsOf(payments.store, 'jobs.submitted')).size === 5);
  expect(await effectsOf(payments.store, 'jobs.submitted')).toEqual(onceEach(said));
  await eventually(async () => (await rows(jobs)).length === 1);
});

test('two deployments on one Redis never meet, whatever secret they share', async () => {
  const [here, there] = [scratchDirectory(), scratchDirectory()];
  const jobsHere = await start('jobs', here, { REDIS_PREFIX: 'here' });
  const paymentsHere = await start('payments', here, { REDIS_PREFIX: 'here' });
  const jobsThere = await start('jobs', there, { REDIS_PREFIX: 'there' });
  const paymentsThere = await start('payments', there, { REDIS_PREFIX: 'there' });
  const [saidHere, saidThere] = [ids(50), ids(50)];
  await Promise.all([say(jobsHere, saidHere), say(jobsThere, saidThere)]);
  await eventually(async () => (await effectsOf(jobsHere.store, 'payments.escrowed')).size === 50);
  await eventually(async () => (await effectsOf(jobsThere.store, 'payments.escrowed')).size === 50);
  for (const [service, name, said] of [
    [paymentsHere, 'jobs.submitted', saidHere],
    [jobsHere, 'payments.escrowed', saidHere],
    [paymentsThere, 'jobs.submitted', saidThere],
    [jobsThere, 'payments.escrowed', saidThere],
  ] as const)
    expect(await effectsOf(service.store, name)).toEqual(onceEach(said));
  const keys = await redis.keys('*');
  expect(keys.length).toBeGreaterThan(0);
  expect(keys.filter((key) => !key.startsWith('here:') && !key.startsWith('there:'))).toEqual([]);
});
