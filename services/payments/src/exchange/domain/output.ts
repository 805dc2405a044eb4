/** Where an output stands. `reorged` and `replaced` do not count, and may come back. */
export const KNOWN_STATES = ['mempool', 'confirmed', 'reorged', 'replaced'] as const;
export type KnownState = (typeof KNOWN_STATES)[number];
export const OUTPUT_STATES = ['unseen', ...KNOWN_STATES] as const;
export type OutputState = (typeof OUTPUT_STATES)[number];

/**
 * What a look at the chain may say of an output: it is in the mempool; it is in a block; the block it was in left the
 * chain; another transaction took its coins, or no mempool holds it any more.
 */
export const OUTPUT_EVENTS = ['seen', 'confirmed', 'reorged_out', 'replaced'] as const;
export type OutputEvent = (typeof OUTPUT_EVENTS)[number];

/**
 * Total: a repeated or late event changes nothing. Out of a block leads one way only, `reorged_out`: a `seen` or
 * `replaced` of a confirmed output is an older view of the chain.
 */
export const OUTPUT: Readonly<Record<OutputState, Readonly<Record<OutputEvent, KnownState | 'ignore'>>>> = {
  unseen: { seen: 'mempool', confirmed: 'confirmed', reorged_out: 'ignore', replaced: 'ignore' },
  mempool: { seen: 'ignore', confirmed: 'confirmed', reorged_out: 'ignore', replaced: 'replaced' },
  // Again, in another block: the new place counts.
  confirmed: { seen: 'ignore', confirmed: 'confirmed', reorged_out: 'reorged', replaced: 'ignore' },
  reorged: { seen: 'mempool', confirmed: 'confirmed', reorged_out: 'ignore', replaced: 'replaced' },
  replaced: { seen: 'mempool', confirmed: 'confirmed', reorged_out: 'ignore', replaced: 'ignore' },
};

export const isLive = (state: OutputState): boolean => state === 'mempool' || state === 'confirmed';
