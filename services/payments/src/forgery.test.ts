import { createPostal, openQueue, queuePrefix } from '@aitbc/chassis';
import { inboxQueue, newId, toMinor } from '@aitbc/contracts';
import { eventually, someone, TEST_PREFIX, TEST_SECRET } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { aJob, type Stand, standForTest } from './testing/stand.ts';

// Whoever can write to Redis can write to every mailbox. It must not be worth anything.

let stand: Stand;
beforeAll(async () => {
  stand = await standForTest();
});
afterAll(() => stand.stop());

const forgeries = async () => {
  const text = await (await fetch(`${stand.url}/metrics`)).text();
  return Number(/^redis_forgeries_total\{.*what="batch".*\} (\d+)$/m.exec(text)?.[1] ?? 0);
};

test('a stranger with Redis in hand cannot say that a job ended: no money moves, and the mailbox goes on', async () => {
  const payer = await stand.funded(10);
  const thief = someone(['miner']);
  const job = aJob(payer, thief);
  await stand.peers.send('jobs.submitted', job.submitted(toMinor(2)));
  const held = await stand.untilPayment(payer, job.job_id, 'escrowed');
  const ended = job.ended('completed', stand.paidWith(held));

  const stream = `jobs-${newId()}`;
  const batch = {
    stream,
    messages: [
      { seq: 1, name: 'jobs.started', version: 1, payload: job.started() },
      { seq: 2, name: 'jobs.ended', version: 1, payload: ended },
    ],
  };
  const unnumbered = { stream, messages: batch.messages.map((message) => ({ ...message, seq: null })) };
  const text = JSON.stringify(batch);
  const ours = createPostal({ SECRET_KEY: TEST_SECRET, REDIS_PREFIX: TEST_PREFIX }).envelopes;
  const sealedBy = (SECRET_KEY: string, REDIS_PREFIX = TEST_PREFIX) =>
    createPostal({ SECRET_KEY, REDIS_PREFIX }).envelopes.seal('jobs', 'payments', text);
  const genuineElsewhere = ours.seal('jobs', 'miners', text);
  const forged: unknown[] = [
    batch,
    unnumbered,
    { from: 'jobs', text },
    { from: 'jobs', mac: '', text },
    { from: 'jobs', mac: null, text },
    { from: 'jobs', mac: [genuineElsewhere.mac], text },
    { from: 'jobs', mac: 'A'.repeat(43), text: batch },
    // Another secret, another deployment, another receiver, another sender's key.
    sealedBy('another secret of 32 characters ......'),
    sealedBy(TEST_SECRET, 'another'),
    genuineElsewhere,
    { ...ours.seal('miners', 'payments', text), from: 'jobs' },
    // A genuine one with one letter changed.
    { ...ours.seal('jobs', 'payments', '{"stream":"x","messages":[]}'), text },
    { ...sealedBy(TEST_SECRET), from: 'constructor' },
    null,
    'jobs.ended',
    [],
  ];
  const queue = openQueue(inboxQueue('payments'), stand.peers.redis, queuePrefix(TEST_PREFIX));
  for (const data of forged) await queue.add('batch', data);
  await queue.close();
  await eventually(async () => (await forgeries()) === forged.length);

  // What is genuine comes through behind all of it.
  const other = aJob(payer);
  await stand.peers.send('jobs.submitted', other.submitted(toMinor(1)));
  await stand.untilPayment(payer, other.job_id, 'escrowed');
  expect(await stand.paymentOf(payer, job.job_id)).toMatchObject({ status: 'escrowed', payee_id: null });
  expect(await stand.balanceOf(payer)).toMatchObject({ balance: 10, available: 7, held: 3 });

  // The same words, sealed: so nothing but the seal held them up.
  const genuine = openQueue(inboxQueue('payments'), stand.peers.redis, queuePrefix(TEST_PREFIX));
  const sealed = sealedBy(TEST_SECRET);
  await genuine.add('batch', sealed);
  await stand.untilPayment(payer, job.job_id, 'released');
  const before = await stand.balanceOf(thief);
  // A genuine batch, copied and put back again and again, is heard once.
  for (let time = 0; time < 5; time += 1) await genuine.add('batch', sealed);
  await genuine.close();
  await eventually(async () => {
    const metrics = await (await fetch(`${stand.url}/metrics`)).text();
    return /name="jobs.ended",outcome="duplicate".*\} 5$/m.test(metrics);
  });
  expect(await stand.balanceOf(thief)).toEqual(before);
  expect(before).toMatchObject({ available: 1.95 });
});

test('only a dispatcher may speak without numbers, and nobody in the name of another', async () => {
  const payer = await stand.funded(10);
  const job = aJob(payer);
  await stand.peers.send('jobs.submitted', job.submitted(toMinor(2)));
  const held = await stand.untilPayment(payer, job.job_id, 'escrowed');
  const ended = job.ended('completed', stand.paidWith(held));
  const { envelopes } = createPostal({ SECRET_KEY: TEST_SECRET, REDIS_PREFIX: TEST_PREFIX });
  const queue = openQueue(inboxQueue('payments'), stand.peers.redis, queuePrefix(TEST_PREFIX));
  const says = (seq: number | null) =>
    JSON.stringify({
      stream: `any-${newId()}`,
      messages: [{ seq, name: 'jobs.ended', version: 1, payload: ended }],
    });
  await queue.add('batch', envelopes.seal('jobs', 'payments', says(null)));
  await queue.add('batch', envelopes.seal('dispatcher', 'payments', says(null)));
  await queue.add('batch', envelopes.seal('market', 'payments', says(1)));
  await queue.close();
  await eventually(async () => {
    const metrics = await (await fetch(`${stand.url}/metrics`)).text();
    return /name="jobs.ended",outcome="dead".*\} 3$/m.test(metrics);
  });
  expect(await stand.paymentOf(payer, job.job_id)).toMatchObject({ status: 'escrowed' });
});
