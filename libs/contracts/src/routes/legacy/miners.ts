import { z } from 'zod';
import { Json } from '../../json.ts';
import { AmountOut } from '../../money.ts';
import { defineRoute } from '../../route.ts';
import { answer, lenient, orEmpty, tag } from './lenient.ts';

const Fields = z.record(z.string(), Json);
/** The name of a miner in the caller's account, or its id. */
const Name = z.string().min(1).max(200);
const params = z.strictObject({ miner_id: Name });
const speaker = z.object({ miner_id: orEmpty(Name) });
const asMiner = { service: 'miners', tag, who: ['miner'], rate: 'miner' } as const;
const ofMiner = { ...asMiner, params, errors: ['MINER_NOT_REGISTERED'] } as const;

/** What a card, a price or a list of models is called differs from program to program: what is understood is taken. */
const LegacyRegistration = lenient({
  capabilities: Fields.optional(),
  concurrency: z.number().optional(),
  region: z.string().optional(),
});
export type LegacyRegistration = z.output<typeof LegacyRegistration>;

const Earnings = answer({
  items: z.array(answer({ payment_id: z.string(), amount: AmountOut })),
  total: AmountOut,
  currency: z.string(),
}).meta({ description: 'All that was earned, and the payments of the last while one by one' });
const Attempts = answer({
  items: z.array(answer({ job_id: z.string(), attempt: z.number().int(), state: z.string() })),
  total: z.number().int(),
}).meta({ description: 'How many jobs ended here, and those of the last while one by one' });

const earnings = {
  ...ofMiner,
  path: '/v1/miners/:miner_id/earnings',
  summary: 'What a miner earned',
} as const;
const jobs = { ...ofMiner, path: '/v1/miners/:miner_id/jobs', summary: 'What a miner worked on' } as const;
const INSTEAD = 'GET /v1/miner/me';

export const legacyMinersRoutes = {
  legacyRegister: defineRoute({
    ...asMiner,
    alias: 'POST /v1/miner/register',
    name: 'miners.legacy_register',
    method: 'POST',
    path: '/v1/miners/register',
    summary: 'Register a miner, or change a registered one',
    description:
      'Under the name in `X-Miner-ID` or `miner_id`; an API key sent there is never kept, and means `default`.',
    query: speaker,
    body: LegacyRegistration,
    responses: { 200: z.object({ status: z.literal('ok'), session_token: z.string() }) },
    errors: ['MINER_LIMIT_REACHED', 'TOO_MANY_ATTRIBUTES'],
  }),
  legacyHeartbeat: defineRoute({
    ...asMiner,
    alias: 'POST /v1/miner/heartbeat',
    name: 'miners.legacy_heartbeat',
    method: 'POST',
    path: '/v1/miners/heartbeat',
    summary: 'Say that a miner is alive',
    description: 'Whatever the body says of work in hand, it is no statement about it.',
    query: speaker,
    body: z.unknown(),
    responses: { 200: z.object({ status: z.literal('ok') }) },
    errors: ['MINER_NOT_REGISTERED'],
  }),
  legacyEarnings: defineRoute({
    ...earnings,
    alias: INSTEAD,
    name: 'miners.legacy_earnings',
    method: 'GET',
    responses: { 200: Earnings },
  }),
  legacyEarningsByPost: defineRoute({
    ...earnings,
    alias: INSTEAD,
    name: 'miners.legacy_earnings_by_post',
    method: 'POST',
    responses: { 200: Earnings },
  }),
  legacyJobs: defineRoute({
    ...jobs,
    alias: INSTEAD,
    name: 'miners.legacy_jobs',
    method: 'GET',
    responses: { 200: Attempts },
  }),
  legacyJobsByPost: defineRoute({
    ...jobs,
    alias: INSTEAD,
    name: 'miners.legacy_jobs_by_post',
    method: 'POST',
    responses: { 200: Attempts },
  }),
  legacyCapabilities: defineRoute({
    ...ofMiner,
    alias: 'POST /v1/miner/register',
    name: 'miners.legacy_capabilities',
    method: 'PUT',
    path: '/v1/miners/:miner_id/capabilities',
    summary: 'Change what a miner can do',
    body: lenient({ capabilities: Fields.optional() }),
    responses: { 200: z.object({ status: z.literal('ok') }) },
    errors: ['MINER_NOT_REGISTERED', 'TOO_MANY_ATTRIBUTES'],
  }),
  legacyRemove: defineRoute({
    ...ofMiner,
    alias: 'POST /v1/miner/register',
    name: 'miners.legacy_remove',
    method: 'DELETE',
    path: '/v1/miners/:miner_id',
    summary: 'Take a miner off',
    description: 'What it has in hand goes back at once.',
    responses: { 200: z.object({ status: z.literal('ok') }) },
  }),
} as const;
