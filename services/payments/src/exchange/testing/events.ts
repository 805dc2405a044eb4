import type { InvoiceStatus } from '@aitbc/contracts';

/** What can befall an invoice that is paid with two outputs: the first may come and go, the second comes to stay. */
export const EVENTS = ['seen', 'confirmed', 'reorged_out', 'replaced', 'expired', 'second'] as const;
export type InvoiceEvent = (typeof EVENTS)[number];

/** Every order of all events. Its beginnings are all orders of fewer. */
export const orders = (from: readonly InvoiceEvent[] = EVENTS): InvoiceEvent[][] =>
  from.length === 0
    ? [[]]
    : from.flatMap((event) =>
        orders(from.filter((other) => other !== event)).map((rest) => [event, ...rest]),
      );

/** Every sequence of so many events, also with repeats. */
export const sequences = (length: number): InvoiceEvent[][] =>
  length === 0 ? [[]] : EVENTS.flatMap((event) => sequences(length - 1).map((rest) => [event, ...rest]));

export interface Amounts {
  readonly asked: number;
  readonly first: number;
  readonly second: number;
}

/** At 1,000 minor units a satoshi before the time is over, 2,000 after. */
export const RATE = 1_000;
export const RATE_AFTER = 2_000;

export interface Outcome {
  readonly status: InvoiceStatus;
  readonly credited_sats: number | null;
  readonly credited_minor: number | null;
}

/**
 * What the contract's text says of a sequence of events, told as a story instead of tables: the first output stands in
 * the chain from `confirmed` to `reorged_out`, waits in the mempool from `seen` to `replaced` while it does not, and
 * counts while it does either.
 */
export const outcomeOf = (events: readonly InvoiceEvent[], amounts: Amounts): Outcome => {
  let isInChain = false;
  let isWaiting = false;
  let isOver = false;
  let hasSecond = false;
  const lateness = { first: null as boolean | null, second: null as boolean | null };

  for (const event of events) {
    if (event === 'expired') isOver = true;
    if (event === 'second') {
      hasSecond = true;
      lateness.second ??= isOver;
    }
    if (event === 'seen' && !isInChain) isWaiting = true;
    if (event === 'confirmed') {
      isInChain = true;
      isWaiting = false;
    }
    if (event === 'seen' || event === 'confirmed') lateness.first ??= isOver;
    if (event === 'reorged_out') isInChain = false;
    if (event === 'replaced') isWaiting = false;

    const onTime =
      (isInChain && lateness.first === false ? amounts.first : 0) +
      (hasSecond && lateness.second === false ? amounts.second : 0);
    const late =
      (isInChain && lateness.first === true ? amounts.first : 0) +
      (hasSecond && lateness.second === true ? amounts.second : 0);
    const sats = onTime + late;
    const isWhole = sats >= amounts.asked;
    if (sats > 0 && (isWhole || (isOver && !isWaiting))) {
      return {
        credited_sats: sats,
        credited_minor: onTime * RATE + late * RATE_AFTER,
        status: !isWhole
          ? 'underpaid'
          : onTime < amounts.asked
            ? 'late'
            : sats > amounts.asked
              ? 'overpaid'
              : 'confirmed',
      };
    }
  }
  const received = (isInChain || isWaiting ? amounts.first : 0) + (hasSecond ? amounts.second : 0);
  return {
    credited_sats: null,
    credited_minor: null,
    status:
      received === 0
        ? isOver
          ? 'expired'
          : 'pending'
        : received < amounts.asked
          ? 'underpaid'
          : 'processing',
  };
};

/** Little above dust: hundreds of invoices at a time stay below the value that needs a second confirmation. */
export const CASES: Readonly<Record<string, Amounts>> = {
  'paid twice in full': { asked: 600, first: 600, second: 600 },
  'paid in two parts': { asked: 600, first: 360, second: 240 },
  'paid too much, then more': { asked: 600, first: 720, second: 84 },
  'paid too little twice': { asked: 600, first: 240, second: 120 },
};
