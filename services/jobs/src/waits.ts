import { modelKey } from '@aitbc/contracts';

/** Of each model: enough for a median that one odd wait does not move. */
const KEPT = 25;
/** Models; the one that was not asked for longest goes. */
const MODELS_MAX = 2_000;

/** How long jobs lately waited for a miner, by model, in memory: what people are told before they ask, and nothing else. */
export const createWaits = () => {
  const byModel = new Map<string, number[]>();
  return {
    add: (model: string, ms: number): void => {
      const key = modelKey(model);
      const waits = byModel.get(key) ?? [];
      byModel.delete(key);
      if (byModel.size >= MODELS_MAX) byModel.delete(byModel.keys().next().value as string);
      byModel.set(key, waits);
      waits.push(ms);
      if (waits.length > KEPT) waits.shift();
    },
    /** @returns the median in ms; null when nobody asked for it. */
    usual: (model: string): number | null => {
      const waits = byModel.get(modelKey(model));
      if (waits === undefined) return null;
      return [...waits].sort((a, b) => a - b)[waits.length >> 1] ?? null;
    },
  };
};
export type Waits = ReturnType<typeof createWaits>;
