import type { Executor } from './executors/executor.ts';
import type { Log } from './log.ts';

/** What this machine can do at the moment, and why it cannot do the rest. */
export interface Offer {
  readonly capabilities: readonly string[];
  readonly models: readonly string[];
  /** One sentence for each job type, offered or not. */
  readonly reasons: ReadonlyMap<string, string>;
}

/** The contract's bound on `models`. */
const MODELS_MAX = 500;

export const probeAll = async (executors: readonly Executor[], signal: AbortSignal): Promise<Offer> => {
  const found = await Promise.all(
    executors.map(async (executor) => ({ type: executor.type, availability: await executor.probe(signal) })),
  );
  const capabilities: string[] = [];
  const models = new Set<string>();
  const reasons = new Map<string, string>();
  for (const { type, availability } of found) {
    if (availability.offered) {
      capabilities.push(type);
      for (const model of availability.models) models.add(model);
      reasons.set(type, `offered (${availability.detail})`);
    } else {
      reasons.set(type, `not offered: ${availability.reason}`);
    }
  }
  return { capabilities, models: [...models].sort().slice(0, MODELS_MAX), reasons };
};

export const isSameOffer = (a: Offer, b: Offer): boolean =>
  a.capabilities.join('\n') === b.capabilities.join('\n') && a.models.join('\n') === b.models.join('\n');

/** Says each job type whose sentence changed; at the start that is all of them. */
export const logOffer = (log: Log, offer: Offer, before: Offer): void => {
  for (const [type, reason] of offer.reasons) {
    if (before.reasons.get(type) === reason) continue;
    const isOffered = offer.capabilities.includes(type);
    log.info('offer', `${type}: ${reason}`, { job_type: type, offered: isOffered });
  }
};
