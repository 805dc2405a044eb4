import { loadConfig, type Running } from '@aitbc/chassis';
import { governanceRoutes } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  hasPostgres,
  openPeers,
  type PostgresServer,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  startPostgres,
} from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { configShape } from './config.ts';
import { startGovernance } from './service.ts';
import { openLedger, words } from './testing/ledger.ts';
import { DAY_MS } from './testing/stand.ts';

let server: PostgresServer;
const running: Running[] = [];
beforeAll(async () => {
  if (hasPostgres) server = await startPostgres();
}, 60_000);
afterAll(async () => {
  await Promise.all(running.map((service) => service.stop()));
  await server?.stop();
});

test.skipIf(!hasPostgres)(
  'two processes: votes at both are one tally, and a proposal is executed once, whoever asks for it',
  async () => {
    const redisUrl = await scratchRedis();
    const database = await server.database();
    const env = { ...serviceEnv('governance', scratchDirectory(), redisUrl), DATABASE_URL: database };
    let nowMs = Date.now();
    const start = async () => {
      const service = await startGovernance(
        loadConfig(configShape, env),
        (reason) => expect.fail(reason),
        () => nowMs,
      );
      running.push(service);
      return service;
    };
    const [first, second] = [await start(), await start()];
    const peers = await openPeers(redisUrl);
    const toJobs = peers.listen('jobs');
    const voters = Array.from({ length: 4 }, () => someone(['user']));
    const [proposer] = voters as [(typeof voters)[number]];
    await openLedger(peers).seal(
      voters.map((voter) => [voter, 5_000]),
      1_000,
    );
    const at = (service: Running, caller = proposer) => callerOf(service.url, caller);
    const made = await eventually(
      async () => {
        const reply = await at(first).call(governanceRoutes.propose, {
          body: {
            ...words,
            type: 'parameter_change',
            target: { parameter: 'default_max_attempts', value: 4 },
            voting_period_days: 3,
          },
        });
        if (!reply.ok) throw new Error(JSON.stringify(reply.body));
        return reply.body;
      },
      { withinMs: 30_000 },
    );
    await Promise.all(
      voters.map((voter, index) =>
        eventually(async () => {
          const reply = await at(index % 2 === 0 ? first : second, voter).call(governanceRoutes.vote, {
            body: { proposal_id: made.id, vote: 'for' },
          });
          return reply.ok;
        }),
      ),
    );
    const params = { proposal_id: made.id };
    const statusAt = async (service: Running) => {
      const reply = await at(service).call(governanceRoutes.get, { params });
      return reply.ok ? reply.body : undefined;
    };
    for (const service of [first, second]) expect((await statusAt(service))?.tally.for).toBe(4 * 5_000);

    nowMs += 3 * DAY_MS;
    await eventually(async () => (await statusAt(second))?.status === 'queued', { withinMs: 15_000 });
    nowMs += 2 * DAY_MS;
    // The timer of the one that leads, and callers at both, in the same breath.
    const replies = await Promise.all(
      [first, second, first, second].map((service) =>
        eventually(async () => {
          const reply = await at(service).call(governanceRoutes.execute, { params });
          return reply.status === 503 ? undefined : reply;
        }),
      ),
    );
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const inDatabase = new URL(database).pathname.slice(1);
    const rows = await server.sql('SELECT * FROM governance.execution', inDatabase);
    expect(rows).toHaveLength(1);
    expect(await server.sql('SELECT * FROM governance.parameter_change', inDatabase)).toHaveLength(1);
    const told = () => toJobs.filter(({ name }) => name === 'governance.parameter_changed');
    await eventually(() => told().length > 0);
    expect(told()).toHaveLength(1);
    await peers.close();
  },
  120_000,
);
