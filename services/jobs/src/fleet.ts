import { createHash } from 'node:crypto';
import { type Requirement, rankOf, requirementText, satisfies } from './dispatcher/match.ts';
import type { MinerOffer } from './tables.ts';

export interface Lane {
  readonly id: string;
  readonly requirement: Requirement;
  usedAtMs: number;
}

interface Member {
  offer: MinerOffer;
  /** Lanes it satisfies, of the first `looked` in the list. */
  lanes: Lane[];
  looked: number;
  generation: number;
}

/** A poll's message names at most so many lanes: the ones used last. */
const LANES_PER_POLL_MAX = 500;
/** Each new lane is compared with every open poll's miner; constraints nobody shares must not stop the rest. */
const LANES_MAX = 20_000;
/** `waiting_reason` may be so old. */
const CAPABLE_KEPT_MS = 1_000;

/**
 * The miners as last heard of and the lanes that exist, in memory: who satisfies what is computed once when a miner
 * changes or a lane first appears, never per job. The facts are in the file; this is loaded from them.
 */
export const createFleet = () => {
  const members = new Map<string, Member>();
  const byAccount = new Map<string, Set<string>>();
  let lanes: Lane[] = [];
  const laneById = new Map<string, Lane>();
  const laneByText = new Map<string, Lane>();
  /** Rises when a lane is forgotten: then every member looks again from the start. */
  let generation = 0;
  const capable = new Map<string, { value: boolean; atMs: number }>();
  const registered = new Set<() => void>();

  const setMiner = (offer: MinerOffer): void => {
    const known = members.get(offer.miner_id);
    if (known !== undefined && known.offer.revision >= offer.revision) return;
    members.set(offer.miner_id, { offer, lanes: [], looked: 0, generation });
    const ids = byAccount.get(offer.account_id) ?? new Set();
    byAccount.set(offer.account_id, ids.add(offer.miner_id));
    capable.clear();
    if (known === undefined) for (const listener of registered) listener();
  };

  const setLane = (id: string, requirement: Requirement, nowMs: number): Lane => {
    const known = laneById.get(id);
    if (known !== undefined) return known;
    const lane: Lane = { id, requirement, usedAtMs: nowMs };
    lanes.push(lane);
    laneById.set(id, lane);
    laneByText.set(requirementText(requirement), lane);
    return lane;
  };

  const lanesOf = (minerId: string): readonly Lane[] => {
    const member = members.get(minerId);
    if (member === undefined) return [];
    if (member.generation !== generation) {
      member.lanes = [];
      member.looked = 0;
      member.generation = generation;
    }
    for (; member.looked < lanes.length; member.looked++) {
      const lane = lanes[member.looked] as Lane;
      if (satisfies(member.offer, lane.requirement)) member.lanes.push(lane);
    }
    return member.lanes;
  };

  return {
    setMiner,
    setLane,
    miner: (id: string): MinerOffer | undefined => members.get(id)?.offer,
    minersOf: (accountId: string): readonly string[] => [...(byAccount.get(accountId) ?? [])],
    lane: (id: string): Lane | undefined => laneById.get(id),
    isFull: (): boolean => lanes.length >= LANES_MAX,
    lanesOf,

    /** The lane of a requirement, and whether it is new: then it must be kept and announced by the caller. */
    laneFor: (requirement: Requirement, nowMs: number): { id: string; isNew: boolean } => {
      const text = requirementText(requirement);
      const known = laneByText.get(text);
      if (known !== undefined) {
        known.usedAtMs = nowMs;
        return { id: known.id, isNew: false };
      }
      return { id: createHash('sha256').update(text).digest('base64url').slice(0, 22), isNew: true };
    },

    /** What a poll of this miner offers to. */
    lanesToOffer: (minerId: string): string[] => {
      const all = lanesOf(minerId);
      const chosen =
        all.length <= LANES_PER_POLL_MAX
          ? all
          : [...all].sort((a, b) => b.usedAtMs - a.usedAtMs).slice(0, LANES_PER_POLL_MAX);
      return chosen.map((lane) => lane.id);
    },

    rank: (minerId: string, running: number): number => {
      const offer = members.get(minerId)?.offer;
      return offer === undefined ? 0 : rankOf(offer, running / offer.concurrency);
    },

    /** Whether an active miner of an account that is not in `except` can run this lane's jobs. */
    isCapable: (laneId: string, nowMs: number, except: readonly string[] = []): boolean => {
      const lane = laneById.get(laneId);
      if (lane === undefined) return false;
      const kept = except.length === 0 ? capable.get(laneId) : undefined;
      if (kept !== undefined && nowMs - kept.atMs < CAPABLE_KEPT_MS) return kept.value;
      let value = false;
      for (const { offer } of members.values()) {
        if (offer.status !== 'active' || except.includes(offer.account_id)) continue;
        value = satisfies(offer, lane.requirement);
        if (value) break;
      }
      if (except.length === 0) capable.set(laneId, { value, atMs: nowMs });
      return value;
    },

    /** Lanes that nothing was queued in since. */
    lanesUnusedSince: (ms: number): Lane[] => lanes.filter((lane) => lane.usedAtMs < ms),
    forgetLane: (lane: Lane): void => {
      lanes = lanes.filter((other) => other !== lane);
      laneById.delete(lane.id);
      laneByText.delete(requirementText(lane.requirement));
      capable.delete(lane.id);
      generation += 1;
    },

    /** Calls `listener` when a miner is heard of for the first time. @returns what ends it. */
    onRegistered: (listener: () => void): (() => void) => {
      registered.add(listener);
      return () => void registered.delete(listener);
    },
  };
};
export type Fleet = ReturnType<typeof createFleet>;
