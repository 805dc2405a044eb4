import { databaseUrl, type Fail, loadConfig } from '@aitbc/chassis';
import { type Caller, newId, type Payload, routes, toMinor } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  openPeers,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
} from '@aitbc/testing';
import { configShape } from '../config.ts';
import { startPayments } from '../service.ts';
import { headersOf } from './headers.ts';

const fail: Fail = (reason) => {
  throw new Error(reason);
};

/** The service in this process, with the rest of the stack played by the test. */
export const standForTest = async (env: Record<string, string> = {}) => {
  const directory = scratchDirectory();
  const redisUrl = await scratchRedis();
  const config = loadConfig(configShape, { ...serviceEnv('payments', directory, redisUrl), ...env });
  let service = await startPayments(config, fail);
  const peers = await openPeers(redisUrl);
  const admin = someone(['admin']);
  const as = (caller: Caller | null) => callerOf(service.url, caller);

  return {
    peers,
    admin,
    as,
    databaseUrl: databaseUrl(config, 'payments'),
    get url() {
      return service.url;
    },
    headersOf,
    /** Stops the service, does something to its tables, and starts it again. */
    restart: async (meanwhile: () => unknown = () => {}) => {
      await service.stop();
      await meanwhile();
      service = await startPayments(config, fail);
    },
    stop: async () => {
      await service.stop();
      await peers.close();
    },
    /** Somebody with an account and so much in it. */
    funded: async (amount: number, changes: Partial<Caller> = {}): Promise<Caller> => {
      const caller = someone(['client'], changes);
      await peers.send('gateway.account_created', {
        account_id: caller.account_id,
        wallet_address: null,
      });
      if (amount > 0) {
        const reply = await as(admin).call(routes.payments.credit, {
          params: { account_id: caller.account_id },
          body: { amount, reason: 'for a test' },
        });
        if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      }
      return caller;
    },
    balanceOf: async (caller: Caller) => {
      const reply = await as(caller).call(routes.payments.balance, {
        params: { user_id: caller.account_id },
      });
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      return reply.body;
    },
    paymentOf: async (caller: Caller, jobId: string) => {
      const reply = await as(caller).call(routes.payments.getByJob, { params: { job_id: jobId } });
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      return reply.body;
    },
    /** What a job is paid with that was leased with this payment in escrow. */
    paidWith: (payment: { id: string; amount: number }) => ({
      id: payment.id,
      amount_minor: toMinor(payment.amount),
    }),
    /** Until the payment of a job has this status. */
    untilPayment: (caller: Caller, jobId: string, status: string) =>
      eventually(async () => {
        const reply = await as(caller).call(routes.payments.getByJob, { params: { job_id: jobId } });
        if (!reply.ok) throw new Error(JSON.stringify(reply.body));
        if (reply.body.status !== status) throw new Error(`payment is ${reply.body.status}, not ${status}`);
        return reply.body;
      }),
  };
};
export type Stand = Awaited<ReturnType<typeof standForTest>>;

/** The messages of one job. */
export const aJob = (owner: Caller, miner: Caller = someone(['miner'])) => {
  const job_id = newId();
  const miner_id = newId();
  const common = { job_id, account_id: owner.account_id };
  return {
    job_id,
    miner_id,
    miner,
    submitted: (payment_amount_minor: number | null): Payload<'jobs.submitted'> => ({
      ...common,
      credential_id: owner.credential_id,
      spend_cap_minor: owner.spend_cap_minor,
      payment_amount_minor,
      submitted_at_ms: Date.now(),
    }),
    started: (deadline_at_ms = Date.now() + 300_000): Payload<'jobs.started'> => ({
      job_id,
      miner_id,
      miner_account_id: miner.account_id,
      attempt: 1,
      deadline_at_ms,
    }),
    requeued: (attempt = 1): Payload<'jobs.requeued'> => ({ job_id, attempt }),
    /** @param paidWith what a completed job was leased for */
    ended: (
      status: Payload<'jobs.ended'>['status'],
      paidWith: { id: string; amount_minor: number } | null = null,
      started = true,
    ): Payload<'jobs.ended'> => ({
      ...common,
      status,
      miner_id: started ? miner_id : null,
      miner_account_id: started ? miner.account_id : null,
      started,
      ended_at_ms: Date.now(),
      payment_id: paidWith?.id ?? null,
      price_minor: paidWith?.amount_minor ?? 0,
    }),
  };
};
