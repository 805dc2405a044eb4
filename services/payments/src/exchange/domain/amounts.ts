import { MAX_AMOUNT, MINOR_PER_AITBC, SATOSHI_PER_BTC } from '@aitbc/contracts';

// Rates are integers too: AITBC minor units for 1 BTC. All of it is exact; nothing here meets a float.

const SATOSHI = BigInt(SATOSHI_PER_BTC);

/** The dearest rate: 10^7 AITBC for 1 BTC is 10^15 minor units, still an exact number. */
export const RATE_MAX = MAX_AMOUNT;

const toSafe = (value: bigint): number =>
  value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);

/** What satoshis buy, rounded down. Beyond every amount that can exist the answer is the largest exact number. */
export const priceOfSats = (sats: number, rateMinor: number): number =>
  toSafe((BigInt(sats) * BigInt(rateMinor)) / SATOSHI);

/** The fewest satoshis that buy so much: rounded up, so that `priceOfSats` of them is never less. */
export const satsFor = (amountMinor: number, rateMinor: number): number => {
  const rate = BigInt(rateMinor);
  return toSafe((BigInt(amountMinor) * SATOSHI + rate - 1n) / rate);
};

/** The part of an amount that some of its satoshis stand for, rounded down. */
export const shareOf = (amountMinor: number, sats: number, ofSats: number): number =>
  toSafe((BigInt(amountMinor) * BigInt(sats)) / BigInt(ofSats));

export type Quote =
  | { ok: true; amount_sats: number; amount_minor: number }
  | { ok: false; reason: 'mismatch'; expected_sats: number };

/** Both sides of what is asked; each follows from the other. Given both, they may differ by 1 satoshi of rounding. */
export const quote = (
  asked: { aitbc_minor: number | undefined; btc_sats: number | undefined },
  rateMinor: number,
): Quote => {
  const { aitbc_minor, btc_sats } = asked;
  if (aitbc_minor === undefined) {
    const sats = btc_sats ?? 0;
    return { ok: true, amount_sats: sats, amount_minor: priceOfSats(sats, rateMinor) };
  }
  const amount_sats = satsFor(aitbc_minor, rateMinor);
  if (btc_sats !== undefined && Math.abs(btc_sats - amount_sats) > 1)
    return { ok: false, reason: 'mismatch', expected_sats: amount_sats };
  return { ok: true, amount_sats, amount_minor: aitbc_minor };
};

/** Satoshis as BTC without exponent, as BIP 21 writes an amount. */
export const btcText = (sats: number): string => {
  const whole = Math.floor(sats / SATOSHI_PER_BTC);
  const fraction = String(sats % SATOSHI_PER_BTC)
    .padStart(8, '0')
    .replace(/0+$/, '');
  return fraction === '' ? String(whole) : `${whole}.${fraction}`;
};

/** BTC for 1 AITBC to 8 decimals, for people to read: nothing is computed with it. */
export const inverseRate = (rateMinor: number): number =>
  satsFor(MINOR_PER_AITBC, rateMinor) / SATOSHI_PER_BTC;
