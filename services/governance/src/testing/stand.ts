import { loadConfig, type Running } from '@aitbc/chassis';
import {
  type Caller,
  governanceRoutes,
  type Proposal,
  type ProposalStatus,
  type VoteChoice,
} from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  openPeers,
  type Received,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
} from '@aitbc/testing';
import { expect } from 'vitest';
import { configShape } from '../config.ts';
import { startGovernance } from '../service.ts';
import { openLedger } from './ledger.ts';

export const DAY_MS = 86_400_000;

/** The service, a ledger that it hears of, a clock that only a test moves, and what callers do. Opened anew for each test. */
export const createStand = () => {
  let env: Record<string, string>;
  let service: Running;
  let peers: Awaited<ReturnType<typeof openPeers>>;
  let ledger: ReturnType<typeof openLedger>;
  let toPayments: Received[];

  const as = (caller: Caller | null) => callerOf(service.url, caller);
  /** What the account can vote with, now or on that proposal. */
  const power = async (whom: Caller, proposalId?: string): Promise<number> => {
    const reply = await as(null).call(governanceRoutes.votingPower, {
      params: { user_id: whom.account_id },
      query: proposalId === undefined ? {} : { proposal_id: proposalId },
    });
    return reply.ok ? reply.body.voting_power : Number.NaN;
  };
  const get = async (proposal_id: string): Promise<Proposal> => {
    const reply = await as(null).call(governanceRoutes.get, { params: { proposal_id } });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    return reply.body;
  };

  const stand = {
    /** Deadlines and timelocks pass when a test says so. */
    nowMs: Date.now(),
    get url(): string {
      return service.url;
    },
    get peers() {
      return peers;
    },
    /** What payments was told. */
    get toPayments(): Received[] {
      return toPayments;
    },
    /** @param holders what they hold, in AITBC, in the first block of the ledger; the service knows it afterwards. */
    open: async (holders: [Caller, number][], treasury = 10_000): Promise<void> => {
      stand.nowMs = Date.now();
      const redisUrl = await scratchRedis();
      env = serviceEnv('governance', scratchDirectory(), redisUrl);
      peers = await openPeers(redisUrl);
      toPayments = peers.listen('payments');
      ledger = openLedger(peers);
      await stand.start();
      await stand.seal(holders, treasury);
    },
    close: async (): Promise<void> => {
      await service.stop();
      await peers.close();
    },
    start: async (changes: Record<string, string> = {}): Promise<void> => {
      service = await startGovernance(
        loadConfig(configShape, { ...env, ...changes }),
        (reason) => expect.fail(reason),
        () => stand.nowMs,
      );
    },
    stop: () => service.stop(),
    /** Seals the next block of the ledger, and waits until it counts. */
    seal: async (changed: [Caller, number][], treasury?: number): Promise<void> => {
      await ledger.seal(changed, treasury);
      await eventually(async () => {
        for (const [caller, amount] of changed) expect(await power(caller)).toBe(amount);
        return true;
      });
    },
    as,
    power,
    get,
    reaches: (id: string, status: ProposalStatus): Promise<Proposal> =>
      eventually(async () => {
        const proposal = await get(id);
        expect(proposal.status).toBe(status);
        return proposal;
      }),
    vote: (who: Caller, proposal_id: string, vote: VoteChoice = 'for', reason?: string) =>
      as(who).call(governanceRoutes.vote, {
        body: { proposal_id, vote, ...(reason === undefined ? {} : { reason }) },
      }),
    execute: (who: Caller, proposal_id: string) =>
      as(who).call(governanceRoutes.execute, { params: { proposal_id } }),
    cancel: (who: Caller, proposal_id: string) =>
      as(who).call(governanceRoutes.cancel, { params: { proposal_id } }),
    parameter: async (name: string) => {
      const reply = await as(null).call(governanceRoutes.parameters, {});
      return reply.ok ? reply.body.items.find((item) => item.name === name) : undefined;
    },
  };
  return stand;
};
