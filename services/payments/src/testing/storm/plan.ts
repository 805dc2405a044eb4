import { readFileSync } from 'node:fs';
import { type Caller, newId, type Scope } from '@aitbc/contracts';

/** How a job goes: what is fired at its payment is fired at `fire_at_ms`, together with its deadline. */
export const WAYS = [
  'completes',
  'completes and is given back',
  'fails',
  'is cancelled before it starts',
  'is forgotten',
  'runs past the deadline and completes',
  'is heard backwards',
] as const;
export type Way = (typeof WAYS)[number];

export interface PlannedJob {
  job_id: string;
  miner_id: string;
  payer: number;
  miner: number;
  way: Way;
  amount_minor: number;
  submit_at_ms: number;
  fire_at_ms: number;
}

/** Everything the processes of a storm agree on before it begins. */
export interface Plan {
  url: string;
  redisUrl: string;
  /** When the payments service's clock begins to run faster, and how much. */
  origin_ms: number;
  speed: number;
  payers: Caller[];
  miners: Caller[];
  admin: Caller;
  jobs: PlannedJob[];
}

const PEOPLE = 8;
/** The shortest time-out there is. */
export const ESCROW_TIMEOUT_SECONDS = 300;
/** From a payment's making to its deadline, as the real clock shows it. */
const LIFE_MS = 4_000;

export const makePlan = (options: {
  url: string;
  redisUrl: string;
  payments: number;
  durationMs: number;
}): Plan => {
  const origin_ms = Date.now();
  const person = (scope: Scope): Caller => ({
    account_id: newId(),
    credential_id: newId(),
    scopes: [scope],
    wallet_address: null,
    spend_cap_minor: null,
  });
  const people = (scope: Scope) => Array.from({ length: PEOPLE }, () => person(scope));
  // The last of them is made early enough to be fired at while the storm still blows.
  const spreadMs = Math.max(1_000, options.durationMs - LIFE_MS - 1_000);
  return {
    url: options.url,
    redisUrl: options.redisUrl,
    origin_ms,
    speed: (ESCROW_TIMEOUT_SECONDS * 1_000) / LIFE_MS,
    payers: people('client'),
    miners: people('miner'),
    admin: person('admin'),
    jobs: Array.from({ length: options.payments }, (_, i) => {
      const submit_at_ms = origin_ms + 1_000 + Math.floor((i / options.payments) * spreadMs);
      return {
        job_id: newId(),
        miner_id: newId(),
        payer: i % PEOPLE,
        miner: (i + 3) % PEOPLE,
        way: WAYS[i % WAYS.length] as Way,
        amount_minor: 1_000 + i * 7,
        submit_at_ms,
        fire_at_ms: submit_at_ms + LIFE_MS,
      };
    }),
  };
};

export const readPlan = (path: string): Plan => JSON.parse(readFileSync(path, 'utf8'));

/** The payments service's clock. */
export const fastClock =
  ({ origin_ms, speed }: Plan) =>
  (): number =>
    Math.floor(origin_ms + (Date.now() - origin_ms) * speed);
