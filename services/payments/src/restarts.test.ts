import { join } from 'node:path';
import { type Caller, routes, toMinor } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  freePort,
  openPeers,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
} from '@aitbc/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { verifyLedger } from '../../../scripts/verify.ts';
import { type Child, startChild } from './testing/child.ts';
import { headersOf } from './testing/headers.ts';
import { aJob } from './testing/stand.ts';

const children: Child[] = [];
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill();
    await child.exited;
  }
  for (const close of closers.splice(0)) await close();
});

const main = join(import.meta.dirname, 'main.ts');

const stand = async () => {
  const redisUrl = await scratchRedis();
  const port = await freePort();
  const env = {
    ...serviceEnv('payments', scratchDirectory(), redisUrl),
    PORT: String(port),
    LOG_LEVEL: 'info',
  };
  const peers = await openPeers(redisUrl);
  closers.push(peers.close);
  const url = `http://127.0.0.1:${port}`;
  const start = async (failpoint = '') => {
    const child = startChild({
      script: main,
      env: { ...env, FAILPOINT: failpoint },
      isReady: (line) => line.includes('"msg":"ready"'),
    });
    children.push(child);
    expect([await child.ready, child.errors()]).toEqual([true, '']);
    return child;
  };
  return { peers, url, start, as: (caller: Caller) => callerOf(url, caller) };
};

/** Two starts, and up to 20 s until what a killed process held in its hands is given out again. */
const TIMEOUT_MS = 120_000;

/** Dies at the failpoint when it has done what it was killed before or after; what was sent is then sent again. */
describe('killed at', () => {
  const points = [
    'inbox:after-commit@2',
    'hold:before-commit',
    'hold:after-commit',
    'relay:after-publish',
    'decide:before-commit',
    'settle:before-commit',
    'settle:after-commit',
    'seal:before-commit@2',
    'seal:after-commit',
  ];
  it.each(points)(
    '%s, the job is paid once and the chain is whole',
    { timeout: TIMEOUT_MS },
    async (failpoint) => {
      const { peers, url, start, as } = await stand();
      const dying = await start(failpoint);
      const payer = someone(['client']);
      const admin = someone(['admin']);
      const job = aJob(payer);
      const toJobs = peers.listen('jobs');
      const say = async (running: Child) => {
        await peers.send('gateway.account_created', { account_id: payer.account_id, wallet_address: null });
        await peers.send('jobs.submitted', job.submitted(toMinor(1)));
        await peers.send('jobs.started', job.started());
        // Jobs leases what is held, and says with what it was paid; a process that died before that says nothing.
        const held = await eventually(() => {
          const said = toJobs.find(
            (message) => message.name === 'payments.escrowed' || message.name === 'payments.refused',
          );
          return said ?? (running.isRunning() ? undefined : null);
        });
        if (held?.name !== 'payments.escrowed') return;
        const { payment_id: id, amount_minor } = held.payload;
        await peers.send('jobs.ended', job.ended('completed', { id, amount_minor }));
      };
      const credit = () =>
        as(admin).call(routes.payments.credit, {
          params: { account_id: payer.account_id },
          body: { amount: 3, reason: 'test' },
          idempotencyKey: 'once',
        });
      await peers.send('gateway.account_created', { account_id: payer.account_id, wallet_address: null });
      await credit().catch(() => undefined);
      // It may die at the very first message: then this is the sending again.
      await say(dying);
      expect(await dying.exited).toMatchObject({ signal: 'SIGKILL' });

      const running = await start();
      // The operator and the senders try again, as they do when no answer comes.
      expect(await credit()).toMatchObject({ status: 201 });
      await say(running);
      const payment = await eventually(async () => {
        const reply = await as(payer).call(routes.payments.getByJob, { params: { job_id: job.job_id } });
        return reply.ok && ['released', 'failed'].includes(reply.body.status) ? reply.body : undefined;
      });
      const balance = async (caller: Caller) => {
        const reply = await as(caller).call(routes.payments.balance, {
          params: { user_id: caller.account_id },
        });
        return reply.ok ? reply.body : null;
      };
      // Without its money the job may have been refused first: that is an end too, and nothing moved.
      const isPaid = payment.status === 'released';
      expect(await balance(payer)).toMatchObject({ available: isPaid ? 2 : 3, held: 0 });
      expect(await balance(job.miner)).toMatchObject({ available: isPaid ? 0.975 : 0 });
      await eventually(() => toJobs.length >= (isPaid ? 2 : 1));
      const verdict = await eventually(async () => {
        const whole = await verifyLedger({ url, from: 0, headers: headersOf(null) });
        return whole.transactions >= (isPaid ? 5 : 1) ? whole : undefined;
      });
      expect(verdict).toMatchObject({ wrong: null, supplyMinor: toMinor(3) });
      expect(verdict.transactions).toBe(isPaid ? 5 : 1);
    },
  );

  it.each([
    'hold:after-commit',
    'credit:after-commit',
    'ask:before-commit',
    'ask:after-commit',
    'decide:after-commit',
  ])('%s, a request that is sent again has one effect', async (failpoint) => {
    const { peers, start, as } = await stand();
    const dying = await start(failpoint);
    const payer = someone(['client']);
    const job = aJob(payer);
    const toJobs = peers.listen('jobs');
    const tell = async () => {
      await peers.send('gateway.account_created', { account_id: payer.account_id, wallet_address: null });
      await peers.send('jobs.submitted', job.submitted(null));
    };
    const ask = async () => {
      const credited = await as(someone(['admin'], { account_id: payer.account_id })).call(
        routes.payments.credit,
        {
          params: { account_id: payer.account_id },
          body: { amount: 3, reason: 'test' },
          idempotencyKey: 'credit',
        },
      );
      const paid = await as(payer).call(routes.payments.create, {
        body: { job_id: job.job_id, amount: 1 },
        idempotencyKey: 'pay',
      });
      if (!paid.ok) return { credited, paid, refunded: null };
      const jobsAnswers = async () => {
        await eventually(() => toJobs.some((message) => message.name === 'payments.refund_requested'));
        await peers.send('jobs.ended', job.ended('cancelled', null, false));
      };
      const [refunded] = await Promise.all([
        as(payer).call(routes.payments.refund, {
          params: { payment_id: paid.body.id },
          body: { reason: 'test' },
          idempotencyKey: 'refund',
        }),
        jobsAnswers(),
      ]);
      return { credited, paid, refunded };
    };
    await tell();
    await expect(ask()).rejects.toThrow();
    expect(await dying.exited).toMatchObject({ signal: 'SIGKILL' });
    await start();
    await tell();
    const again = await ask();
    expect(again).toMatchObject({
      credited: { status: 201 },
      paid: { status: 201, body: { amount: 1 } },
      refunded: { status: 200, body: { status: 'refunded' } },
    });
    const reply = await as(payer).call(routes.payments.balance, {
      params: { user_id: payer.account_id },
    });
    expect(reply.body).toMatchObject({ available: 3, held: 0 });
  });
});

describe('a transfer, killed at', () => {
  it.each(['transfer:before-commit', 'transfer:after-commit'])(
    '%s and sent again, is made once',
    { timeout: TIMEOUT_MS },
    async (failpoint) => {
      const { peers, start, as } = await stand();
      const dying = await start(failpoint);
      const [giver, taker] = [someone(['client', 'trade']), someone(['client'])];
      // In the order of their stream: when the giver is known, the taker is.
      for (const { account_id } of [taker, giver])
        await peers.send('gateway.account_created', { account_id, wallet_address: null });
      await eventually(async () => {
        const credited = await as(someone(['admin'])).call(routes.payments.credit, {
          params: { account_id: giver.account_id },
          body: { amount: 3, reason: 'test' },
          idempotencyKey: 'credit',
        });
        return credited.ok;
      });
      const give = () =>
        as(giver).call(routes.payments.transfer, {
          body: { to: taker.account_id, amount: 1, memo: 'once' },
          idempotencyKey: 'once',
        });
      await expect(give()).rejects.toThrow();
      expect(await dying.exited).toMatchObject({ signal: 'SIGKILL' });
      await start();
      expect(await give()).toMatchObject({ status: 201 });
      const entries = async (caller: Caller) => {
        const reply = await as(caller).call(routes.payments.statement, {});
        return reply.ok && reply.body.items.map(({ kind, amount, balance }) => [kind, amount, balance]);
      };
      expect(await entries(giver)).toEqual([
        ['transfer', -1, 2],
        ['credit', 3, 3],
      ]);
      expect(await entries(taker)).toEqual([['transfer', 1, 1]]);
    },
  );
});

describe('in production', () => {
  it('does not start without its signing key, nor with a bad one', async () => {
    const redisUrl = await scratchRedis();
    const env = {
      ...serviceEnv('payments', scratchDirectory(), redisUrl),
      NODE_ENV: 'production',
      LOG_LEVEL: 'info',
    };
    for (const key of ['', 'bm90IGEga2V5']) {
      const child = startChild({
        script: main,
        env: { ...env, LEDGER_SIGNING_KEY: key },
        isReady: (line) => line.includes('"msg":"ready"'),
      });
      children.push(child);
      expect(await child.exited).toMatchObject({ code: 2 });
      expect(child.errors()).toContain('LEDGER_SIGNING_KEY');
      expect(child.errors()).not.toContain('bm90IGEga2V5');
    }
  });
});
