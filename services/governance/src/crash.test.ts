import { once } from 'node:events';
import { loadConfig } from '@aitbc/chassis';
import { type Caller, type Execution, governanceRoutes, type MessageName } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  killServices,
  openPeers,
  type Received,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  spawnService,
  timeLimit,
} from '@aitbc/testing';
import { afterEach, expect, test } from 'vitest';
import { configShape } from './config.ts';
import { startGovernance } from './service.ts';
import { allocationTo, openLedger, words } from './testing/ledger.ts';
import { DAY_MS } from './testing/stand.ts';

/** Half of them change a parameter, half pay out of the treasury. */
const PROPOSALS = 40;
const EXECUTES = 50;
/** What a dead worker had in hand is taken over after 15 s. */
const SLOW = { withinMs: timeLimit(30_000) };

const MAIN = new URL('./main.ts', import.meta.url);
afterEach(killServices);

/** Queued proposals whose timelocks have ended: made by a service whose clock stands nine days back. */
const prepare = async (env: Record<string, string>, peers: Awaited<ReturnType<typeof openPeers>>) => {
  let nowMs = Date.now() - 9 * DAY_MS;
  const service = await startGovernance(
    loadConfig(configShape, env),
    (reason) => expect.fail(reason),
    () => nowMs,
  );
  const holders: Caller[] = [someone(['vote']), someone(['vote'])];
  await openLedger(peers).seal(
    holders.map((holder) => [holder, 1_000]),
    1_000,
  );
  const call = (index: number) => callerOf(service.url, holders[index % 2] as Caller);
  await eventually(
    async () =>
      (
        await call(0).call(governanceRoutes.votingPower, {
          params: { user_id: holders[0]?.account_id ?? '' },
        })
      ).status === 200,
  );
  const ids = await Promise.all(
    Array.from({ length: PROPOSALS }, (_, index) =>
      eventually(async () => {
        const made = await call(index >> 1).call(governanceRoutes.propose, {
          body:
            index % 2 === 0
              ? {
                  ...words,
                  type: 'parameter_change',
                  target: { parameter: 'platform_fee_basis_points', value: 100 + index },
                }
              : allocationTo(1 + index),
        });
        if (!made.ok) throw new Error(JSON.stringify(made.body));
        const { id } = made.body;
        await call(0).call(governanceRoutes.vote, { body: { proposal_id: id, vote: 'for' } });
        return id;
      }),
    ),
  );
  nowMs += 7 * DAY_MS;
  await eventually(async () => {
    const reply = await call(0).call(governanceRoutes.list, { query: { status: 'queued', limit: 500 } });
    return reply.ok && reply.body.items.length === PROPOSALS;
  });
  await service.stop();
  return { ids, caller: holders[0] as Caller };
};

/** EXECUTES requests at once, some proposals twice; only what was answered comes back. */
const executeAll = async (url: string, caller: Caller, ids: string[]): Promise<Execution[]> => {
  const wanted = Array.from({ length: EXECUTES }, (_, index) => ids[index % ids.length] as string);
  const replies = await Promise.allSettled(
    wanted.map((proposal_id) =>
      callerOf(url, caller).call(governanceRoutes.execute, { params: { proposal_id } }),
    ),
  );
  return replies.flatMap((reply) =>
    reply.status === 'fulfilled' && reply.value.ok ? [reply.value.body] : [],
  );
};

const proposalsIn = (received: Received[], name: MessageName): string[] =>
  received
    .filter((message) => message.name === name)
    .map((message) => (message.payload as { proposal_id: string }).proposal_id)
    .sort();

test.each([
  // Killed inside the transaction of the 15th execution, after the commit of the first group, before and after its
  // messages reached the broker, and before they are forgotten.
  'governance:before-commit@15',
  'governance:after-commit@3',
  'relay:before-publish@2',
  'relay:after-publish@1',
  'relay:before-purge@1',
])(
  'killed at %s with 50 executes of 40 proposals under way: each effect exactly once',
  async (failpoint) => {
    const redisUrl = await scratchRedis();
    const env = serviceEnv('governance', scratchDirectory(), redisUrl);
    const peers = await openPeers(redisUrl);
    const { ids, caller } = await prepare(env, peers);
    const toPayments = peers.listen('payments');

    const doomed = await spawnService(MAIN, { ...env, FAILPOINT: failpoint });
    const died = once(doomed.child, 'exit');
    const before = await executeAll(doomed.url, caller, ids);
    const [exitCode, signal] = await died;
    expect([exitCode, signal]).toEqual([null, 'SIGKILL']);

    const { child, url } = await spawnService(MAIN, env);
    // Payments answers each request of its own account, once.
    const answered = new Set<string>();
    const answering = setInterval(() => {
      for (const proposal_id of proposalsIn(toPayments, 'governance.allocation_approved')) {
        if (answered.has(proposal_id)) continue;
        answered.add(proposal_id);
        void peers.send('payments.allocation_settled', {
          proposal_id,
          ok: true,
          transaction_hash: proposal_id,
          reason: null,
        });
      }
    }, 20);
    const after = await executeAll(url, caller, ids);
    expect(after).toHaveLength(EXECUTES);

    const items = await eventually(async () => {
      const reply = await callerOf(url, null).call(governanceRoutes.list, { query: { limit: 500 } });
      if (!reply.ok) throw new Error('no list');
      expect(reply.body.items.map((item) => item.status)).toEqual(ids.map(() => 'executed'));
      return reply.body.items;
    }, SLOW);
    clearInterval(answering);

    const idsOf = (type: string) =>
      items
        .filter((item) => item.type === type)
        .map((item) => item.id)
        .sort();
    await eventually(() => toPayments.length >= PROPOSALS, SLOW);
    expect(proposalsIn(toPayments, 'governance.parameter_changed')).toEqual(idsOf('parameter_change'));
    expect(proposalsIn(toPayments, 'governance.allocation_approved')).toEqual(idsOf('fund_allocation'));
    // Twenty changes of one parameter: twenty versions, none twice, none left out.
    const versions = toPayments.flatMap((message) =>
      message.name === 'governance.parameter_changed' ? [message.payload.version] : [],
    );
    expect(versions.sort((a, b) => a - b)).toEqual(Array.from({ length: PROPOSALS / 2 }, (_, n) => n + 1));
    // What was answered before the kill still stands, and every later answer is the first one.
    const executions = new Map(items.map((item) => [item.id, item.execution]));
    for (const answer of [...before, ...after]) {
      expect(executions.get(answer.proposal_id)).toMatchObject({
        started_at: answer.started_at,
        executed_by: answer.executed_by,
        ...(answer.status === 'executed' ? answer : {}),
      });
    }

    child.kill('SIGTERM');
    await once(child, 'exit');
    await peers.close();
  },
  timeLimit(60_000),
);
