import { loadConfig, type Running } from '@aitbc/chassis';
import { type Caller, routes } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  openPeers,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
} from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { configShape as governanceConfig } from '../services/governance/src/config.ts';
import { startGovernance } from '../services/governance/src/service.ts';
import { configShape as paymentsConfig } from '../services/payments/src/config.ts';
import { startPayments } from '../services/payments/src/service.ts';

// The two services that share the ledger, as they are, with nobody between them but the broker.

const fail = (reason: string) => {
  throw new Error(reason);
};
const admin = someone(['admin']);
/** A vote and its timelock take four seconds here; the rest is for a busy machine. */
const DECIDED = { withinMs: 20_000 };
const words = {
  title: 'A change that somebody wants',
  description: 'Long enough to say why this is wanted, what it costs, and what would happen without it.',
};

let payments: Running;
let governance: Running;
let peers: Awaited<ReturnType<typeof openPeers>>;
const holders: Caller[] = [
  someone(['client', 'vote']),
  someone(['client', 'vote']),
  someone(['client', 'vote']),
];

beforeAll(async () => {
  const directory = scratchDirectory();
  const redisUrl = await scratchRedis();
  peers = await openPeers(redisUrl);
  payments = await startPayments(
    loadConfig(paymentsConfig, serviceEnv('payments', directory, redisUrl)),
    fail,
  );
  // A voting day and the timelock of a day are a second each.
  governance = await startGovernance(
    loadConfig(governanceConfig, {
      ...serviceEnv('governance', directory, redisUrl),
      BUSINESS_TIME_SCALE: '86400',
    }),
    fail,
  );
  for (const { account_id } of holders) {
    await peers.send('gateway.account_created', { account_id, wallet_address: null });
  }
  // The treasury first: once the holders' powers are known, so is what it holds.
  await credit('treasury', 50);
  await Promise.all(holders.map(({ account_id }, index) => credit(account_id, 1_000 * (index + 1))));
  await eventually(async () => (await powers()).reduce((a, b) => a + b, 0) === 6_000);
});
afterAll(async () => {
  await governance.stop();
  await payments.stop();
  await peers.close();
});

const credit = (account_id: string, amount: number) =>
  eventually(async () => {
    const reply = await callerOf(payments.url, admin).call(routes.payments.credit, {
      params: { account_id },
      body: { amount, reason: 'for a test' },
    });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    return reply.body;
  });
const balance = async (caller: Caller) => {
  const reply = await callerOf(payments.url, caller).call(routes.payments.balance, {
    params: { user_id: caller.account_id },
  });
  return reply.ok ? reply.body.balance : Number.NaN;
};
const powers = (proposalId?: string) =>
  Promise.all(
    holders.map(async ({ account_id }) => {
      const reply = await callerOf(governance.url, null).call(routes.governance.votingPower, {
        params: { user_id: account_id },
        query: proposalId === undefined ? {} : { proposal_id: proposalId },
      });
      return reply.ok ? reply.body.voting_power : Number.NaN;
    }),
  );
const decided = async (target: { recipient_account_id: string; amount: number }) => {
  const [first] = holders as [Caller];
  const made = await callerOf(governance.url, first).call(routes.governance.propose, {
    // Three seconds: on a busy machine three votes may take more than one.
    body: { ...words, type: 'fund_allocation', target, voting_period_days: 3 },
  });
  if (!made.ok) throw new Error(JSON.stringify(made.body));
  for (const holder of holders) {
    const vote = await callerOf(governance.url, holder).call(routes.governance.vote, {
      body: { proposal_id: made.body.id, vote: 'for' },
    });
    expect(vote.status).toBe(200);
  }
  return made.body;
};
const read = async (proposal_id: string) => {
  const reply = await callerOf(governance.url, null).call(routes.governance.get, {
    params: { proposal_id },
  });
  if (!reply.ok) throw new Error('no such proposal');
  return reply.body;
};

test('what can vote is what the ledger’s holders have, at the block the proposal names', async () => {
  const { tally, snapshot_height, id } = await decided({
    recipient_account_id: (holders[0] as Caller).account_id,
    amount: 1,
  });
  expect(tally.voting_supply).toBe(6_000);
  const block = await callerOf(payments.url, null).call(routes.payments.block, {
    params: { height: snapshot_height },
  });
  expect(block.status).toBe(200);
  await credit((holders[1] as Caller).account_id, 500);
  await eventually(async () => (await powers())[1] === 2_500);
  expect(await powers(id)).toEqual([1_000, 2_000, 3_000]);
  await eventually(async () => (await read(id)).status === 'executed', DECIDED);
});

test('the treasury pays what was decided, once, and names the transaction; then it cannot pay the rest', async () => {
  const [, , recipient] = holders as [Caller, Caller, Caller];
  const before = await balance(recipient);
  const target = { recipient_account_id: recipient.account_id, amount: 40 };
  // Both fit into the treasury when they are made; together they do not.
  const [one, two] = await Promise.all([decided(target), decided(target)]);
  const proposals = await eventually(async () => {
    const both = await Promise.all([one, two].map(({ id }) => read(id)));
    expect(both.map((proposal) => proposal.status).sort()).toEqual(['executed', 'execution_failed']);
    return both;
  }, DECIDED);
  const paid = proposals.find((proposal) => proposal.status === 'executed');
  const refused = proposals.find((proposal) => proposal.status === 'execution_failed');
  expect(refused?.execution?.reason).toContain('treasury');
  const effect = paid?.execution?.effect;
  const hash = effect?.kind === 'funds_allocated' ? effect.transaction_hash : null;
  const transaction = await callerOf(payments.url, null).call(routes.payments.transaction, {
    params: { hash: hash ?? '' },
  });
  expect(transaction).toMatchObject({ status: 200, body: { value: 40, reference: paid?.id } });
  expect(await balance(recipient)).toBe(before + 40);
});
