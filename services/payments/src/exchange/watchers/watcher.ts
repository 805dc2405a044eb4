import type { KnownState } from '../domain/output.ts';

export interface BlockRef {
  readonly height: number;
  readonly hash: string;
}

/** An output that pays to a watched script, as the chain shows it now: in a block, or in the mempool. */
export interface Sighting {
  readonly txid: string;
  readonly vout: number;
  /** Hex. */
  readonly script: string;
  readonly value_sats: number;
  readonly block: (BlockRef & { readonly time_ms: number }) | null;
}

export interface AddressRequest {
  readonly address: string;
  readonly script: string;
  /** Everybody pays to it: it is asked about at every look, and only news since the cursor is read. */
  readonly isShared: boolean;
}

/** What is known before a look. */
export interface LookRequest {
  /** The last block that was looked at; null before the first look. */
  readonly cursor: BlockRef | null;
  /** The hash that was seen at a height below the cursor, as long as it is kept. */
  readonly hashAt: (height: number) => Promise<string | undefined>;
  /** Nothing older matters. */
  readonly since_ms: number;
  readonly isWatched: (script: string) => Promise<boolean>;
  /** Addresses to ask about, for a source that must be asked one by one. */
  readonly addresses: readonly AddressRequest[];
}

/** What one look at the chain found. It says nothing of what it did not look at. */
export interface Look {
  /** The cursor it started from: a look that started elsewhere is not applied. */
  readonly base: BlockRef | null;
  /** How far it looked: the next cursor. */
  readonly tip: BlockRef;
  /** Blocks above this height that were seen before have left the chain; null when none has, or it is not known. */
  readonly fork_height: number | null;
  /** Blocks new to the chain, lowest first. */
  readonly blocks: readonly BlockRef[];
  readonly sightings: readonly Sighting[];
  /** Was looked for so thoroughly that, not being among the sightings, it is not there? */
  readonly wouldShow: (output: {
    readonly txid: string;
    readonly script: string;
    readonly state: KnownState;
    readonly block_height: number | null;
  }) => boolean;
  /** May confirmations of this script's outputs be counted up to the tip? */
  readonly vouchesFor: (script: string) => boolean;
}

/** One way to see the chain. It writes nothing, and throws when the chain cannot be seen now. */
export interface Watcher {
  /** For people: what is asked, without credentials. */
  readonly name: string;
  /** True when it must be told addresses. */
  readonly asksByAddress: boolean;
  readonly look: (request: LookRequest, signal: AbortSignal) => Promise<Look>;
}

/** The source cannot be used now; the message is for people and holds no credential. */
export class SourceError extends Error {}

/** Block times may be off by so much (a consensus rule), so that "since" begins earlier. */
export const BLOCK_TIME_SKEW_MS = 2 * 3_600_000;
