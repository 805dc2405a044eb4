import { z } from 'zod';
import { Id, Timestamp } from '../ids.ts';
import { AmountOut, Price } from '../money.ts';
import { Page, PageQuery } from '../page.ts';
import { defineRoute } from '../route.ts';
import { Text } from '../text.ts';

const ShortText = Text(1, 100);

/** Made at each start of an agent. Sent with registrations and heartbeats, it keeps two that live at once apart. */
const InstanceId = z
  .string()
  .regex(/^[A-Za-z0-9_-]{8,64}$/, 'must be 8 to 64 letters, digits, - or _')
  .meta({
    description: 'Of this process of the agent; a second one that lives under the same name is refused',
  });

/** Longest that a heartbeat may be held, as a poll. */
const BEAT_WAIT_SECONDS_MAX = 25;

export const Gpu = z.strictObject({
  model: ShortText,
  vram_gb: z.number().gt(0).max(10_000),
  count: z.number().int().min(1).max(64),
});

export const MinerRegistration = z
  .strictObject({
    address: Text(1, 200).meta({ description: 'Where the miner is known on the ledger; shown to anyone' }),
    endpoint: z
      .url({ protocol: /^https?$/ })
      .max(500)
      .optional()
      .meta({ description: 'For your own use; the coordinator never calls it' }),
    /** Names, not the registry's: an agent newer than the coordinator may offer types it does not know yet. */
    capabilities: z
      .array(z.string().min(1).max(64))
      .max(64)
      .meta({ description: 'Job types. None: present, but nothing is offered at the moment' }),
    gpus: z.array(Gpu).max(64).default([]),
    cuda_version: z
      .string()
      .regex(/^\d{1,3}(\.\d{1,3})?$/, 'must look like 12.4')
      .nullish(),
    models: z.array(Text(1, 200)).max(500).default([]),
    region: ShortText.nullish(),
    price_per_job: Price.optional(),
    concurrency: z.number().int().min(1).max(64).default(1),
    name: ShortText.optional(),
    instance_id: InstanceId.optional(),
    status_note: z
      .string()
      .max(500)
      .nullish()
      .meta({ description: 'For the owner: what is not offered at the moment, and why' }),
  })
  .meta({ id: 'MinerRegistration' });
export type MinerRegistration = z.output<typeof MinerRegistration>;

export const MinerStatus = z.enum(['active', 'inactive']);

export const Miner = z
  .strictObject({
    id: Id,
    address: z.string(),
    endpoint: z.string().nullable(),
    capabilities: z.array(z.string()),
    status: MinerStatus,
    last_heartbeat: Timestamp,
    name: z.string(),
    gpus: z.array(Gpu),
    cuda_version: z.string().nullable(),
    models: z.array(z.string()),
    region: z.string().nullable(),
    price_per_job: AmountOut,
    concurrency: z.number().int(),
    inflight: z.number().int(),
    reputation: z.number().min(0).max(1),
    jobs_completed: z.number().int(),
    jobs_failed: z.number().int(),
  })
  .meta({ id: 'Miner' });

/** What anyone may see of a miner. */
export const PublicMiner = z
  .strictObject({
    id: Id,
    status: MinerStatus,
    capabilities: z.array(z.string()),
    gpus: z.array(Gpu),
    region: z.string().nullable(),
    reputation: z.number(),
  })
  .meta({ id: 'PublicMiner' });

const base = { service: 'miners', tag: 'Miners', who: ['miner'], rate: 'miner' } as const;

const HOW_REPUTATION_GROWS = `\`reputation\` belongs to the account, whatever its miners are called: (10 + good) / (20 + good + bad), 0.5 for a newcomer. good: each job that another account paid for adds log2(1 + earned / 0.1 AITBC), at most 10 for each account that pays; unpaid jobs and one’s own add nothing. bad: a failed job adds 0.5, a timed-out one 1, a lost one 2, at most 4 for each client, and at most 10 for all clients together beyond what they have paid this account. Both fade by half in 30 days.`;

export const minersRoutes = {
  register: defineRoute({
    ...base,
    name: 'miners.register',
    method: 'POST',
    path: '/v1/miner/register',
    summary: 'Register a miner, or change a registered one',
    description: 'The same key and name again answers 200 with the same id; work in hand is kept.',
    body: MinerRegistration,
    responses: { 200: Miner, 201: Miner },
    errors: ['MINER_LIMIT_REACHED', 'MINER_NAME_IN_USE', 'TOO_MANY_ATTRIBUTES'],
  }),
  heartbeat: defineRoute({
    ...base,
    name: 'miners.heartbeat',
    method: 'POST',
    path: '/v1/miner/heartbeat',
    summary: 'Say that a miner is alive',
    description:
      '`cancel` names jobs whose client gave up, `drop` jobs now held by another miner: stop both. A list `inflight` is a statement: name every job from the answer of the poll to the answer of the result. What the miner was given and three statements in a row do not name, over 8 s at least, is lost and waits again for a miner. A beat without the list says that the miner is alive, and nothing of its jobs. With `wait_seconds` the answer comes when there is one to stop, or when the next beat is due.',
    body: z.strictObject({
      miner_id: Id.optional(),
      inflight: z.array(Id).max(64).optional().meta({
        description: 'All jobs in hand. Left out, the beat is no statement about them',
      }),
      attempts: z.array(z.number().int().min(1)).max(64).optional().meta({
        description:
          'The `attempt` of each job in `inflight`, in the same order: a job that was lost and came back is then never dropped by what is known of its earlier attempt, and an attempt that ended here is not taken for the one after it',
      }),
      utilization: z.number().min(0).max(1).optional(),
      instance_id: InstanceId.optional(),
      wait_seconds: z.number().int().min(0).max(BEAT_WAIT_SECONDS_MAX).optional(),
    }),
    responses: {
      200: z.strictObject({
        status: MinerStatus,
        server_time: Timestamp,
        cancel: z.array(Id),
        drop: z.array(Id),
        next_heartbeat_seconds: z.number().int().meta({
          description: '5 while the miner has work in hand (in an account of 20 miners at most), else 13',
        }),
      }),
    },
    errors: ['MINER_NOT_REGISTERED', 'MINER_NAME_IN_USE', 'TOO_MANY_POLLS'],
  }),
  me: defineRoute({
    ...base,
    name: 'miners.me',
    method: 'GET',
    path: '/v1/miner/me',
    summary: 'Own miners, with counters, earnings and why there is no work',
    description: HOW_REPUTATION_GROWS,
    query: PageQuery,
    responses: {
      200: Page(
        Miner.extend({
          jobs_lost: z.number().int(),
          earnings: AmountOut,
          status_note: z.string().nullable().meta({ description: 'As the agent last said' }),
          idle_reason: z
            .enum(['inactive', 'nothing_offered', 'at_capacity', 'no_matching_jobs'])
            .nullable()
            .meta({ description: 'Null while it works' }),
        }),
      ),
    },
  }),
  list: defineRoute({
    service: 'miners',
    tag: 'Miners',
    who: ['public'],
    rate: 'public',
    name: 'miners.list',
    method: 'GET',
    path: '/v1/miners',
    summary: 'Public list of miners',
    description: HOW_REPUTATION_GROWS,
    query: PageQuery.extend({ status: MinerStatus.optional() }),
    responses: { 200: Page(PublicMiner) },
  }),
} as const;
