import { isJobType, Problem } from '@aitbc/contracts';
import type { MinerTable } from './tables.ts';

/** What a combination of a job type and a model, or a GPU, takes in the dispatch index: up to four members of sets. */
const COMBINATION_BYTES = 400;
/** Of one account, all its miners together: 1,000 miners with 80 combinations each, or 26 of the largest there can be. */
export const ATTRIBUTES_PER_ACCOUNT_MAX = 32_000_000;
/** The dispatchers forget what a miner could do so long after its last poll (`KIND_TTL` in pool.lua). */
const FORGOTTEN_AFTER_MS = 150_000;
/** Accounts remembered before those that have their whole allowance back are let go. */
const SWEEP_AT = 10_000;

type Attributes = Pick<
  MinerTable,
  'address' | 'endpoint' | 'capabilities' | 'gpus' | 'models' | 'region' | 'status_note'
>;

/** What a miner's attributes take in this file, in the copies of it, and in the dispatch index, in bytes. */
export const weightOf = (miner: Attributes): number => {
  const texts = [
    miner.address,
    miner.endpoint,
    miner.capabilities,
    miner.gpus,
    miner.models,
    miner.region,
    miner.status_note,
  ];
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text ?? ''), 0);
  const types = (JSON.parse(miner.capabilities) as string[]).filter(isJobType).length;
  const models = (JSON.parse(miner.models) as unknown[]).length;
  const gpus = (JSON.parse(miner.gpus) as unknown[]).length;
  return bytes + COMBINATION_BYTES * (types * (1 + models) + gpus);
};

const tooMany = (message: string, retryAfterSeconds: number): Problem =>
  new Problem('TOO_MANY_ATTRIBUTES', message, {
    details: { limit_bytes: ATTRIBUTES_PER_ACCOUNT_MAX },
    retryAfterSeconds,
  });

/** @throws Problem TOO_MANY_ATTRIBUTES when a miner that gets heavier brings the sum of its account above the limit. */
export const demandRoom = (others: number, before: number, weight: number): void => {
  // What stands above the limit from an earlier release may go on, and get lighter.
  if (weight <= before || others + weight <= ATTRIBUTES_PER_ACCOUNT_MAX) return;
  throw tooMany(
    'The miners of this account list too much together; register fewer models or job types, or fewer miners.',
    60,
  );
};

/**
 * What accounts changed lately, in bytes: each change leaves the attributes before it in the dispatch index for a while,
 * so what changes is bounded as what stands is. An allowance as large as the limit, which fills within that while.
 */
export const createChanges = () => {
  const taken = new Map<string, { bytes: number; atMs: number }>();
  const leftOf = (known: { bytes: number; atMs: number } | undefined, nowMs: number): number =>
    known === undefined
      ? 0
      : Math.max(0, known.bytes - ((nowMs - known.atMs) * ATTRIBUTES_PER_ACCOUNT_MAX) / FORGOTTEN_AFTER_MS);
  return {
    /** @throws Problem TOO_MANY_ATTRIBUTES, saying when there is room again. */
    take: (accountId: string, weight: number, nowMs: number): void => {
      const bytes = leftOf(taken.get(accountId), nowMs) + weight;
      const over = bytes - ATTRIBUTES_PER_ACCOUNT_MAX;
      if (over > 0) {
        throw tooMany(
          'This account changed what its miners list too often; wait a moment.',
          Math.ceil((over / ATTRIBUTES_PER_ACCOUNT_MAX) * (FORGOTTEN_AFTER_MS / 1_000)),
        );
      }
      if (taken.size >= SWEEP_AT) {
        for (const [id, known] of taken) if (leftOf(known, nowMs) === 0) taken.delete(id);
      }
      taken.set(accountId, { bytes, atMs: nowMs });
    },
  };
};
