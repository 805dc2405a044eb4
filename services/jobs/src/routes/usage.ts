import { clock, DAY_MS, type Handlers, pageOf } from '@aitbc/chassis';
import { fromMinor, invalidField, type jobsRoutes, USAGE_DAYS_MAX, type Usage } from '@aitbc/contracts';
import { quotasOf } from '../quotas.ts';
import { contentKeptOf, setContentKept } from '../store/content.ts';
import { loadOf } from '../store/load.ts';
import { type Counts, type Group, type Place, placeOf, sumBy, sumOf } from '../store/usage.ts';
import type { Work } from '../work.ts';

const DAYS_DEFAULT = 30;

const dayOf = (date: string): number => Date.parse(date) / DAY_MS;
const dateOf = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10);

/** @throws Problem VALIDATION_ERROR */
const rangeOf = (query: { from?: string | undefined; to?: string | undefined }) => {
  const to = query.to === undefined ? Math.floor(clock.nowMs() / DAY_MS) : dayOf(query.to);
  const from = query.from === undefined ? to - DAYS_DEFAULT + 1 : dayOf(query.from);
  if (from > to) throw invalidField('query.from', 'must not be after to');
  if (to - from >= USAGE_DAYS_MAX)
    throw invalidField('query.from', `must be at most ${USAGE_DAYS_MAX} days before the day after to`);
  return { from, to };
};

const writeCursor = (place: Place): string => Buffer.from(JSON.stringify(place)).toString('base64url');
const readCursor = (cursor: string, dimensions: readonly string[]): Place => {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    const isRight = (value: unknown, at: number) =>
      dimensions[at] === 'day' ? Number.isSafeInteger(value) : typeof value === 'string';
    if (Array.isArray(place) && place.length === dimensions.length && place.every(isRight)) return place;
  } catch {
    // Said below.
  }
  throw invalidField('query.cursor', 'is not a next_cursor of this list');
};

const countsOf = ({ completed, failed, cancelled, expired, spend_minor }: Counts) => ({
  jobs: completed + failed + cancelled + expired,
  completed,
  failed,
  cancelled,
  expired,
  spend: fromMinor(spend_minor),
});

const view = (group: Group): Usage => ({
  ...(group.day === undefined ? {} : { day: dateOf(group.day) }),
  ...(group.job_type === undefined ? {} : { job_type: group.job_type }),
  ...(group.model === undefined ? {} : { model: group.model || null }),
  ...(group.key_id === undefined ? {} : { key_id: group.key_id || null }),
  ...countsOf(group),
});

export const usageHandlers = (
  work: Work,
): Handlers<Pick<typeof jobsRoutes, 'usage' | 'retention' | 'setRetention'>> => {
  const { store } = work;
  const nowOf = async (accountId: string) => {
    const { openJobs, contentBytes } = await loadOf(store.read, accountId);
    const max = quotasOf(work);
    return {
      open_jobs: Math.max(0, openJobs),
      open_jobs_max: max.openJobs,
      content_bytes: Math.max(0, contentBytes),
      content_bytes_max: max.contentBytes,
    };
  };
  return {
    retention: async ({ caller }) => {
      const keptMs = await contentKeptOf(store.read, caller.account_id);
      return { status: 200, body: { content_days: keptMs === null ? null : keptMs / DAY_MS } };
    },
    setRetention: ({ caller, body, write }) =>
      write(async (trx) => {
        const { content_days: days } = body;
        await setContentKept(trx, caller.account_id, days === null ? null : days * DAY_MS);
        return { status: 200, body };
      }),
    usage: async ({ caller, query }) => {
      const { limit, group_by: dimensions } = query;
      const range = { accountId: caller.account_id, ...rangeOf(query) };
      const after = query.cursor === undefined ? undefined : readCursor(query.cursor, dimensions);
      const groups = await sumBy(store.read, range, dimensions, { after, limit: limit + 1 });
      const page = await pageOf(groups, limit, view, (last) => writeCursor(placeOf(last, dimensions)));
      return {
        status: 200,
        body: {
          ...page,
          total: countsOf(await sumOf(store.read, range)),
          now: await nowOf(caller.account_id),
        },
      };
    },
  };
};
