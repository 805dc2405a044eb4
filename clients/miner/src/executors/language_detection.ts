import { type Executor, requiredText } from './executor.ts';

/** The bound on `text` in the contract's registry of job types. */
const TEXT_MAX = 100_000;
/**
 * A language shows in far less, and the detector is synchronous at 5 µs a character: 10,000 characters hold the
 * heartbeat up for 50 ms, a whole 100,000 for half a second.
 */
const SAMPLE_MAX = 10_000;
const CANDIDATES_MAX = 5;

export interface LanguageResult {
  /** ISO 639-1; null when the text shows no language (digits, a single letter, an unknown script). */
  readonly language: string | null;
  /** 0–1, as the detector judges; low for short texts. */
  readonly confidence: number;
  readonly candidates: readonly { readonly language: string; readonly confidence: number }[];
}

const round = (value: number): number => Math.round(value * 10_000) / 10_000;

export const createLanguageDetection = (): Executor => ({
  type: 'language_detection',
  async probe() {
    // Loaded on use: the model takes about 50 MB of memory, which an agent for other types need not spend.
    const { supportedLanguages } = await import('tinyld');
    return { offered: true, detail: `${supportedLanguages.length} languages`, models: [] };
  },
  async run(parameters): Promise<LanguageResult> {
    const text = requiredText(parameters, 'text', TEXT_MAX);
    const { detectAll } = await import('tinyld');
    const candidates = detectAll(text.slice(0, SAMPLE_MAX))
      // The model also knows languages that ISO 639-1 has no code for (Berber, Klingon).
      .filter(({ lang }) => /^[a-z]{2}$/.test(lang))
      .slice(0, CANDIDATES_MAX)
      .map(({ lang, accuracy }) => ({ language: lang, confidence: round(accuracy) }));
    const best = candidates[0];
    return { language: best?.language ?? null, confidence: best?.confidence ?? 0, candidates };
  },
});
