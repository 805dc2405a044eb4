import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Batch, connectRedis, createLog, createPostal, openSender } from '@aitbc/chassis';
import { createClient, type MessageName, messages, newId, type Payload, routes } from '@aitbc/contracts';
import { findBroker } from '../libs/testing/src/broker.ts';
import { builtOf } from '../libs/testing/src/built.ts';
import { freePort } from '../libs/testing/src/ports.ts';
import { bundleServices } from '../scripts/bundle.ts';
import { headersOf } from '../services/payments/src/testing/headers.ts';
import { median } from './load.ts';

const usage = `node bench/settlement.ts [--jobs 4000] [--rounds 3] [--rate 200]

Paid jobs from one payer and from 200 payers, in turns, through the payments service as it is: held, completed, released,
their fees taken by the one platform account. First as fast as it goes, then at a steady rate. Goal: the same.`;

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '4000' },
    rounds: { type: 'string', default: '3' },
    rate: { type: 'string', default: '200' },
    help: { type: 'boolean', short: 'h' },
  },
});
const BATCH = 100;
const SECRET_KEY = 'a-secret-for-tests-only-0123456789abcdef';
const REDIS_PREFIX = 'bench';
const MANY = 200;

const main = async (): Promise<void> => {
  if (values.help) return console.log(usage);
  await bundleServices(console.log);
  const jobs = Number(values.jobs);
  const rate = Number(values.rate);
  const directory = mkdtempSync(join(tmpdir(), 'bench-settlement-'));
  const path = join(directory, 'payments.db');
  const broker = await findBroker({ dataDir: directory, log: () => {} });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const service = fork(builtOf(join(import.meta.dirname, '../services/payments/src/main.ts')), {
    env: {
      ...process.env,
      NODE_ENV: 'development',
      LOG_LEVEL: 'error',
      SECRET_KEY,
      REDIS_PREFIX,
      REDIS_URL: broker.url,
      PORT: String(port),
      DATABASE_URL: `sqlite:///${path}`,
    },
  });
  const redis = connectRedis(broker.url, createLog('bench', 'silent'));
  const postal = createPostal({ SECRET_KEY, REDIS_PREFIX });
  const senders = {
    jobs: openSender({ from: 'jobs', to: 'payments', redis, postal }),
    gateway: openSender({ from: 'gateway', to: 'payments', redis, postal }),
  };
  try {
    while (
      !(await fetch(`${url}/health`).then(
        (reply) => reply.ok,
        () => false,
      ))
    )
      await pause(50);
    const db = new DatabaseSync(path, { readOnly: true, timeout: 5_000 });
    const settled = (): number =>
      Number(db.prepare(`SELECT count(*) AS n FROM payment WHERE status = 'released'`).get()?.n);

    const stream = `bench-${newId()}`;
    const seqs = { jobs: 0, gateway: 0 };
    type Said = { [N in MessageName]: { name: N; payload: Payload<N> } }[MessageName];
    const say = async (from: keyof typeof senders, said: readonly Said[]): Promise<void> => {
      for (let at = 0; at < said.length; at += BATCH) {
        const batch: Batch = {
          stream: `${stream}-${from}`,
          messages: said.slice(at, at + BATCH).map(({ name, payload }) => {
            seqs[from] += 1;
            return { seq: seqs[from], name, version: messages[name].version, payload };
          }),
        };
        await senders[from].send(batch);
      }
    };
    const payers = Array.from({ length: MANY }, () => newId());
    await say(
      'gateway',
      payers.map((account_id) => ({
        name: 'gateway.account_created' as const,
        payload: { account_id, wallet_address: null },
      })),
    );
    const operator = createClient(
      url,
      headersOf({
        account_id: newId(),
        credential_id: newId(),
        scopes: ['admin'],
        wallet_address: null,
        spend_cap_minor: null,
      }),
    );
    for (const account_id of payers) {
      const credited = await operator.call(routes.payments.credit, {
        params: { account_id },
        body: { amount: 100_000, reason: 'bench' },
      });
      if (!credited.ok) throw new Error(JSON.stringify(credited.body));
    }
    const credential_id = newId();
    const miner_account_id = newId();
    const said = (count: number, from: number): Said[] =>
      Array.from({ length: count }, (_, i) => {
        const common = { job_id: newId(), account_id: payers[i % from] as string };
        const submitted: Said = {
          name: 'jobs.submitted',
          payload: {
            ...common,
            credential_id,
            spend_cap_minor: null,
            payment_amount_minor: 1_000_000,
            submitted_at_ms: Date.now(),
          },
        };
        const ended: Said = {
          name: 'jobs.ended',
          payload: {
            ...common,
            status: 'completed',
            miner_id: newId(),
            miner_account_id,
            started: true,
            ended_at_ms: Date.now(),
          },
        };
        return [submitted, ended];
      }).flat();

    const until = async (count: number): Promise<void> => {
      while (settled() < count) await pause(5);
    };
    const fastest = async (from: number): Promise<number> => {
      const before = settled();
      const work = said(jobs, from);
      const startedAt = performance.now();
      await say('jobs', work);
      await until(before + jobs);
      return jobs / ((performance.now() - startedAt) / 1_000);
    };
    /** At a steady rate: how long after its message a job's money has moved, at the end of 5 s. */
    const lag = async (from: number): Promise<number> => {
      const before = settled();
      const seconds = 5;
      const tenth = Math.ceil(rate / 10);
      const startedAt = performance.now();
      for (let turn = 0; turn < seconds * 10; turn += 1) {
        await say('jobs', said(tenth, from));
        await pause(Math.max(0, startedAt + (turn + 1) * 100 - performance.now()));
      }
      const saidAt = performance.now();
      await until(before + tenth * seconds * 10);
      return performance.now() - saidAt;
    };
    await fastest(MANY);
    const one: number[] = [];
    const many: number[] = [];
    for (let round = 0; round < Number(values.rounds); round += 1) {
      one.push(await fastest(1));
      many.push(await fastest(MANY));
    }
    console.log(
      `jobs held, completed and released, per second (${jobs} a round, median of ${values.rounds}):`,
    );
    console.log(`  one payer   ${Math.round(median(one))}`);
    console.log(`  ${MANY} payers  ${Math.round(median(many))}`);
    const ratio = median(one.map((value, i) => value / (many[i] ?? 1)));
    console.log(`  ratio       ${ratio.toFixed(2)}`);
    console.log(`left to do after 5 s at ${rate} jobs/s:`);
    console.log(`  one payer   ${Math.round(await lag(1))} ms`);
    console.log(`  ${MANY} payers  ${Math.round(await lag(MANY))} ms`);
    db.close();
  } finally {
    const exited = new Promise((resolve) => service.once('exit', resolve));
    service.kill('SIGTERM');
    await exited;
    for (const sender of Object.values(senders)) await sender.close();
    redis.disconnect();
    await broker.stop();
    rmSync(directory, { recursive: true, force: true });
  }
};

await main();
