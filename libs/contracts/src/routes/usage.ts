import { z } from 'zod';
import { Id } from '../ids.ts';
import { AmountOut } from '../money.ts';
import { Page, PageQuery } from '../page.ts';
import { defineRoute } from '../route.ts';

/** A quarter of a year: what one answer may look at. */
export const USAGE_DAYS_MAX = 90;

const Day = z.iso.date().meta({ description: 'A day of UTC', example: '2026-11-24' });

export const UsageDimension = z.enum(['day', 'job_type', 'model', 'key']);
export type UsageDimension = z.infer<typeof UsageDimension>;

const Counts = {
  jobs: z.number().int().meta({ description: 'That ended' }),
  completed: z.number().int(),
  failed: z.number().int(),
  cancelled: z.number().int(),
  expired: z.number().int(),
  spend: AmountOut.meta({ description: 'The prices in the receipts of those that completed' }),
};

export const Usage = z
  .strictObject({
    day: Day.optional(),
    job_type: z.string().optional(),
    model: z
      .string()
      .nullable()
      .optional()
      .meta({ description: 'As the jobs wrote it; null for jobs that name none' }),
    key_id: Id.nullable().optional().meta({
      description:
        'The key that submitted, of a rotated one the first; null for a session, and for jobs older than this count',
    }),
    ...Counts,
  })
  .meta({ id: 'Usage', description: 'Has the fields that it is grouped by' });
export type Usage = z.infer<typeof Usage>;

const Bound = z.number().int().min(0);
const AccountLoad = z
  .strictObject({
    open_jobs: Bound,
    open_jobs_max: Bound,
    content_bytes: Bound,
    content_bytes_max: Bound,
  })
  .meta({
    description:
      'Jobs that wait or run, and bytes of parameters and results that are kept, with how much of each there may be: what would be more is QUOTA_EXCEEDED',
  });

const GROUPS_MAX = UsageDimension.options.length;

/** The longest that can be asked for: a hundred years are for ever. */
const KEPT_DAYS_MAX = 36_500;
const Retention = z
  .strictObject({
    content_days: z.number().int().min(1).max(KEPT_DAYS_MAX).nullable().meta({
      description:
        'Days after its end for which parameters and result of a job are kept; null: as long as this coordinator keeps them. Never longer than that',
    }),
  })
  .meta({ id: 'Retention' });
const ofAccount = {
  service: 'jobs',
  tag: 'Users',
  who: ['user', 'client'],
  rate: 'user',
  path: '/v1/users/me/retention',
} as const;

export const usageRoutes = {
  retention: defineRoute({
    ...ofAccount,
    name: 'jobs.retention',
    method: 'GET',
    summary: 'How long the content of your jobs is kept',
    responses: { 200: Retention },
  }),
  setRetention: defineRoute({
    ...ofAccount,
    name: 'jobs.set_retention',
    method: 'PATCH',
    summary: 'Have the content of your jobs kept for less long',
    description:
      'For jobs that are submitted from then on. What is there already can be wiped: DELETE /v1/client/jobs/{job_id}.',
    body: Retention,
    responses: { 200: Retention },
  }),
  usage: defineRoute({
    service: 'jobs',
    tag: 'Users',
    who: ['user', 'client'],
    rate: 'user',
    name: 'jobs.usage',
    method: 'GET',
    path: '/v1/users/me/usage',
    summary: 'Your jobs and what they cost, by day, type, model and key',
    description: `Jobs count on the day they ended. At most ${USAGE_DAYS_MAX} days at once; without \`from\` and \`to\` the last 30.`,
    query: PageQuery.extend({
      from: Day.optional(),
      to: Day.optional().meta({ description: 'The last day, which counts too' }),
      group_by: z
        .string()
        .transform((text) => text.split(','))
        .pipe(
          z
            .array(UsageDimension)
            .max(GROUPS_MAX)
            .refine((list) => new Set(list).size === list.length, 'must not name anything twice'),
        )
        .default(['day'])
        .meta({ description: 'Comma list of day, job_type, model and key', example: 'day,model' }),
    }),
    responses: {
      200: Page(Usage).extend({
        total: z.strictObject(Counts).meta({ description: 'Of the whole range, not of the page' }),
        now: AccountLoad,
      }),
    },
  }),
} as const;
