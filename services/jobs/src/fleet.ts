import {
  type Ability,
  abilityOf,
  type Capability,
  canRun,
  kindName,
  type Requirement,
} from './dispatcher/match.ts';
import type { MinerOffer } from './tables.ts';

/** What the fleet can do about a requirement. */
export type Capacity = 'capable' | 'price_too_low' | 'none';

interface Member {
  readonly offer: MinerOffer;
  /** Made when it is first needed: thousands of miners are loaded at the start. */
  ability: Ability | undefined;
  kind: string | undefined;
}

/** `waiting_reason` may be so old. */
const CAPACITY_KEPT_MS = 1_000;
const CAPACITIES_KEPT = 2_000;
/**
 * Miners that jobs name, remembered: each is a kind of its own in the index. Ten accounts with all the miners that one may
 * have; of more, the one named longest ago is forgotten until a job of it is offered again.
 */
export const NAMED_MAX = 10_000;
/** Kinds remembered as described to the dispatchers; a forgotten one is described again. */
const TOLD_MAX = 10_000;

/** What of a miner decides which jobs it may run. */
const capabilityOf = (offer: MinerOffer): Capability => ({
  capabilities: offer.capabilities,
  gpus: offer.gpus.map(({ model, vram_gb }) => ({ model, vram_gb })),
  cuda_version: offer.cuda_version,
  models: offer.models,
  region: offer.region,
  price_per_job_minor: offer.price_per_job_minor,
});

/** The miners as last heard of, in memory. The facts are in the file; this is loaded from them. */
export const createFleet = ({ namedMax = NAMED_MAX }: { namedMax?: number } = {}) => {
  const members = new Map<string, Member>();
  const byAccount = new Map<string, Set<string>>();
  const capacities = new Map<string, { value: Capacity; atMs: number }>();
  const registered = new Set<(minerId: string) => void>();
  const told = new Set<string>();
  const named = new Set<string>();

  /** Equal miners share a kind; one that is named has its own, which says who it is. */
  const capabilityAsKind = (offer: MinerOffer): Capability => ({
    ...capabilityOf(offer),
    ...(named.has(offer.miner_id) ? { miner_id: offer.miner_id } : {}),
  });

  const forgetKind = (minerId: string): void => {
    const member = members.get(minerId);
    if (member !== undefined) member.kind = undefined;
  };

  const setMiner = (offer: MinerOffer): void => {
    const known = members.get(offer.miner_id);
    if (known !== undefined && known.offer.revision >= offer.revision) return;
    const isSame =
      known !== undefined &&
      JSON.stringify(capabilityOf(known.offer)) === JSON.stringify(capabilityOf(offer));
    members.set(offer.miner_id, {
      offer,
      ability: isSame ? known.ability : undefined,
      kind: isSame ? known.kind : undefined,
    });
    const ids = byAccount.get(offer.account_id) ?? new Set();
    byAccount.set(offer.account_id, ids.add(offer.miner_id));
    capacities.clear();
    const isNamedAnew = known?.offer.alias?.registered_at_ms !== offer.alias?.registered_at_ms;
    if (known === undefined || isNamedAnew) for (const listener of registered) listener(offer.miner_id);
  };

  const abilityOfMember = (member: Member): Ability => {
    member.ability ??= abilityOf(capabilityOf(member.offer), member.offer.miner_id);
    return member.ability;
  };

  const look = (requirement: Requirement, exceptAccounts: readonly string[]): Capacity => {
    let value: Capacity = 'none';
    for (const member of members.values()) {
      const { offer } = member;
      if (offer.status !== 'active' || exceptAccounts.includes(offer.account_id)) continue;
      if (!canRun(abilityOfMember(member), requirement)) continue;
      if (offer.price_per_job_minor <= requirement.price_minor) return 'capable';
      value = 'price_too_low';
    }
    return value;
  };

  return {
    setMiner,
    miner: (id: string): MinerOffer | undefined => members.get(id)?.offer,
    all: function* (): Generator<MinerOffer> {
      for (const { offer } of members.values()) yield offer;
    },
    minersOf: (accountId: string): readonly string[] => [...(byAccount.get(accountId) ?? [])],

    /** What a miner of this revision can do, as a copy here has it; undefined when the copy is of another. */
    ability: (id: string, revision: number): Ability | undefined => {
      const member = members.get(id);
      return member?.offer.revision === revision ? abilityOfMember(member) : undefined;
    },

    /** The name of what a miner can do, and what it stands for unless the dispatchers were told. */
    describe: (offer: MinerOffer): { kind: string; capability?: Capability } => {
      const member = members.get(offer.miner_id);
      const kind = member?.kind ?? kindName(capabilityAsKind(offer));
      if (member?.offer === offer) member.kind = kind;
      if (told.has(kind)) return { kind };
      if (told.size >= TOLD_MAX) told.clear();
      told.add(kind);
      return { kind, capability: capabilityAsKind(offer) };
    },
    /**
     * A job is for this miner alone. One that nobody knows is not remembered: who makes names up would push out those of
     * miners. Once it is known, its jobs are looked for.
     * @returns whether that is new: its polls are to be offered again
     */
    name: (minerId: string): boolean => {
      if (!members.has(minerId)) return false;
      const isNew = !named.delete(minerId);
      named.add(minerId);
      if (!isNew) return false;
      forgetKind(minerId);
      const [oldest] = named;
      if (named.size > namedMax && oldest !== undefined) {
        named.delete(oldest);
        forgetKind(oldest);
      }
      return true;
    },
    /** The dispatchers do not know it, or, without one, nothing. */
    forgetTold: (kind?: string): void => {
      if (kind === undefined) told.clear();
      else told.delete(kind);
    },

    /** Whether an active miner, of another account than these, may run jobs of this requirement. */
    capacity: (requirement: Requirement, nowMs: number, exceptAccounts: readonly string[] = []): Capacity => {
      const key = JSON.stringify([requirement, exceptAccounts]);
      const kept = capacities.get(key);
      if (kept !== undefined && nowMs - kept.atMs < CAPACITY_KEPT_MS) return kept.value;
      if (capacities.size >= CAPACITIES_KEPT) capacities.clear();
      const value = look(requirement, exceptAccounts);
      capacities.set(key, { value, atMs: nowMs });
      return value;
    },

    /** Calls `listener` when a miner is heard of for the first time, or under another name. @returns what ends it. */
    onRegistered: (listener: (minerId: string) => void): (() => void) => {
      registered.add(listener);
      return () => void registered.delete(listener);
    },
  };
};
export type Fleet = ReturnType<typeof createFleet>;
