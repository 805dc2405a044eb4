// How amounts, times and ids are written. Amounts are exact: all the digits that there are.

const AMOUNT = new Intl.NumberFormat('en', { maximumFractionDigits: 8 });
const COUNT = new Intl.NumberFormat('en');
const PERCENT = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 1 });
const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const AGO = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'narrow' });

export const amount = (value: number): string => `${AMOUNT.format(value)} AITBC`;
export const count = (value: number): string => COUNT.format(value);
export const percent = (share: number): string => PERCENT.format(share);
export const localTime = (iso: string): string => WHEN.format(new Date(iso));
export const clockTime = (iso: string): string => CLOCK.format(new Date(iso));

const UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
];
export const ago = (iso: string, now: number): string => {
  const difference = Date.parse(iso) - now;
  const [unit, size] = UNITS.find(([, ms]) => Math.abs(difference) >= ms) ?? ['second', 1_000];
  return AGO.format(Math.trunc(difference / size), unit);
};

export const duration = (ms: number): string => {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.round((ms % 60_000) / 1_000)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
};

/** The end of a UUIDv7 is what tells two of them apart; of a hash its beginning is. */
export const shortId = (id: string): string => (id.length === 36 ? `…${id.slice(-8)}` : id);
export const shortHash = (hash: string): string => (hash.length > 20 ? `${hash.slice(0, 12)}…` : hash);

/** A name of the API in words. */
export const words = (name: string): string => name.replaceAll('_', ' ');

const TYPES: Record<string, string> = {
  chat_completion: 'Chat',
  text_completion: 'Text completion',
  llm_inference: 'Language model',
  embedding: 'Embedding',
  image_generation: 'Image',
  ocr: 'Picture to text',
  language_detection: 'Language detection',
  custom: 'Custom',
};
/** A job type as a title; one that a newer coordinator brings goes by its own name. */
export const typeName = (type: string): string =>
  Object.hasOwn(TYPES, type) ? (TYPES[type] as string) : words(type);
