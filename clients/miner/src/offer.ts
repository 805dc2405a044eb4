import type { Availability, Executor } from './executors/executor.ts';
import type { Log } from './log.ts';
import { foldedName } from './model-name.ts';

/** What this machine can do at the moment, and why it cannot do the rest. */
export interface Offer {
  readonly capabilities: readonly string[];
  readonly models: readonly string[];
  /** One sentence for each job type, offered or not. */
  readonly reasons: ReadonlyMap<string, string>;
  /** For the owner's page: what is not offered though it should be; null when all is well. */
  readonly note: string | null;
}

/** A job type, or one of its models. */
export interface Part {
  readonly type: string;
  readonly model: string | undefined;
}

/** The contract's bounds on `models` and `status_note`. */
const MODELS_MAX = 500;
const NOTE_MAX = 500;

export const NOTHING: Offer = { capabilities: [], models: [], reasons: new Map(), note: null };

interface Withdrawn {
  readonly part: Part;
  readonly reason: string;
  /** Null: until a probe that began later. */
  readonly untilMs: number | null;
}

const keyOf = ({ type, model }: Part): string => `${type}\n${model === undefined ? '' : foldedName(model)}`;

/**
 * What the probes found, less what was taken out of the offer since: a probe sees that a backend is there, jobs see
 * whether it works.
 * @param now a clock that only runs forward.
 */
export const createOffers = (executors: readonly Executor[], now: () => number = () => performance.now()) => {
  let found = new Map<string, Availability>();
  const withdrawn = new Map<string, Withdrawn>();

  const reasonAgainst = (part: Part): string | undefined => {
    const entry = withdrawn.get(keyOf(part));
    return entry === undefined || (entry.untilMs !== null && entry.untilMs <= now())
      ? undefined
      : entry.reason;
  };

  /** A probe saw more recent things than what waited for it, and models that are gone are no question any more. */
  const forget = (beganWith: ReadonlySet<Withdrawn>): void => {
    for (const [key, entry] of withdrawn) {
      const { part, untilMs } = entry;
      const available = found.get(part.type);
      const isListed =
        part.model === undefined ||
        available?.offered !== true ||
        available.models.some((model) => keyOf({ type: part.type, model }) === key);
      const isOver = untilMs === null ? beganWith.has(entry) : untilMs <= now();
      if (isOver || !isListed) withdrawn.delete(key);
    }
  };

  return {
    async probe(signal: AbortSignal): Promise<void> {
      const before = new Set(withdrawn.values());
      const all = await Promise.all(
        executors.map(async (executor) => [executor.type, await executor.probe(signal)] as const),
      );
      if (signal.aborted) return;
      found = new Map(all);
      forget(before);
    },

    /** @param forMs how long; without it until the next probe. */
    withdraw(part: Part, reason: string, forMs?: number): void {
      withdrawn.set(keyOf(part), { part, reason, untilMs: forMs === undefined ? null : now() + forMs });
    },

    /** When something withdrawn may be offered again, from now. */
    nextChangeMs(): number {
      let earliest = Number.POSITIVE_INFINITY;
      for (const { untilMs } of withdrawn.values())
        if (untilMs !== null) earliest = Math.min(earliest, untilMs);
      return Math.max(0, earliest - now());
    },

    current(): Offer {
      const capabilities: string[] = [];
      const models = new Set<string>();
      const reasons = new Map<string, string>();
      const notes: string[] = [];
      for (const [type, available] of found) {
        const against = available.offered ? reasonAgainst({ type, model: undefined }) : available.reason;
        if (!available.offered || against !== undefined) {
          reasons.set(type, `not offered: ${against}`);
          if (available.offered || available.isChoice !== true)
            notes.push(`${type} is not offered: ${against}`);
          continue;
        }
        const left: string[] = [];
        for (const model of available.models) {
          const why = reasonAgainst({ type, model });
          if (why === undefined) left.push(model);
          else notes.push(`${type} is not offered for ${model}: ${why}`);
        }
        // An empty list would mean any model.
        if (available.models.length > 0 && left.length === 0) {
          reasons.set(type, `not offered: ${notes.at(-1)}`);
          continue;
        }
        capabilities.push(type);
        for (const model of left) models.add(model);
        reasons.set(type, `offered (${available.detail})`);
      }
      return {
        capabilities,
        models: [...models].sort().slice(0, MODELS_MAX),
        reasons,
        note: notes.length === 0 ? null : notes.join('; ').slice(0, NOTE_MAX),
      };
    },
  };
};

export const isSameOffer = (a: Offer, b: Offer): boolean =>
  a.capabilities.join('\n') === b.capabilities.join('\n') &&
  a.models.join('\n') === b.models.join('\n') &&
  a.note === b.note;

/** Says each job type whose sentence changed; at the start that is all of them. */
export const logOffer = (log: Log, offer: Offer, before: Offer): void => {
  for (const [type, reason] of offer.reasons) {
    if (before.reasons.get(type) === reason) continue;
    const isOffered = offer.capabilities.includes(type);
    log.info('offer', `${type}: ${reason}`, { job_type: type, offered: isOffered });
  }
};
