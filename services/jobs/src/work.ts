import type { Listeners, Parameters, Store } from '@aitbc/chassis';
import type { Erasures } from './erasures.ts';
import type { Fleet } from './fleet.ts';
import type { FleetSync } from './fleet-sync.ts';
import type { Hints } from './hints.ts';
import type { Keyring } from './keyring.ts';
import type { Leases } from './lease.ts';
import type { Load } from './load.ts';
import type { JobMetrics } from './metrics.ts';
import type { OutputRoom } from './output/index.ts';
import type { Polls } from './polls.ts';
import type { Rests } from './rests.ts';
import type { Seen } from './seen.ts';
import type { WaitingJob } from './store/backlog.ts';
import type { Waits } from './waits.ts';
import type { Watch } from './watch.ts';

/** What commands, consumers, routes and schedule share. Built once, in service. */
export interface Work {
  readonly isProduction: boolean;
  readonly store: Store;
  readonly parameters: Parameters<'jobs'>;
  readonly listeners: Listeners;
  readonly erasures: Erasures;
  readonly fleet: Fleet;
  /** A job that waits is for this miner alone: its polls say who it is from now on, if it is known. */
  readonly nameMiner: (minerId: string) => void;
  readonly hints: Hints;
  readonly polls: Polls;
  readonly load: Load;
  readonly leases: Leases;
  /** Undefined where one process writes: there the copy is exact. */
  readonly fleetSync?: FleetSync | undefined;
  readonly watch: Watch;
  readonly output: OutputRoom;
  readonly seen: Seen;
  readonly rests: Rests;
  readonly waits: Waits;
  readonly metrics: JobMetrics;
  readonly keyring: Keyring;
  /** About so many jobs come before one; null when the index does not know or does not answer. */
  readonly queuePosition: (job: WaitingJob) => Promise<number | null>;
}
