import { useInfiniteQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import { count, typeName, words } from '../../format.ts';
import { Answer, SignedIn } from '../../parts/answer.tsx';
import { Badge, Empty, Head, When } from '../../parts/look.tsx';
import { OFTEN_MS, SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { type JobLine, JobLink, lineOf, price, took } from './table.tsx';
import { STATES, TYPES } from './words.ts';
import './list.css';

const PAGE = 200;
/** Where a list is this long it stands still: keeping it fresh would take more requests than a client has. */
const LIVE_PAGES_MAX = 5;
const ROW_PX = 45;
/** Rows before the end at which the next page is asked for. */
const AHEAD = 30;

interface Filters {
  readonly status?: string | undefined;
  readonly type?: string | undefined;
  readonly label?: string | undefined;
}

const oneOf = <T extends string>(all: readonly T[], value: string | undefined): T | undefined =>
  all.find((each) => each === value);

const useJobs = ({ status, type, label }: Filters) =>
  useInfiniteQuery({
    queryKey: ['jobs', 'list', status, type, label],
    initialPageParam: undefined as string | undefined,
    queryFn: async ({ pageParam, signal }) => {
      const page = await api()
        .jobs.list(
          {
            limit: PAGE,
            cursor: pageParam,
            status: oneOf(STATES, status),
            job_type: oneOf(TYPES, type),
            label,
          },
          { signal },
        )
        .page();
      return { lines: page.items.map(lineOf), next: page.next_cursor };
    },
    getNextPageParam: ({ next }) => next ?? undefined,
    refetchInterval: ({ state }) => {
      const pages = state.data?.pages.length ?? 1;
      if (pages > LIVE_PAGES_MAX) return false;
      return pages === 1 ? OFTEN_MS : SOMETIMES_MS;
    },
  });

const Row = ({ job }: { job: JobLine }) => (
  <>
    <span className="job-name">
      <JobLink job={job} />
      {job.labels.slice(0, 2).map((label) => (
        <span key={label} className="tag" title={label}>
          {label}
        </span>
      ))}
    </span>
    <span>
      <Badge state={job.status} />
    </span>
    <span className="end number wide">{price(job)}</span>
    <span className="end number wide">{took(job.tookMs)}</span>
    <span className="end muted">
      <When at={job.created_at} isRelative />
    </span>
  </>
);

/** Only what is on the screen stands in the page, so that ten thousand scroll as ten do. */
const Rows = ({
  jobs,
  isWhole,
  canGoOn,
  onEnd,
}: {
  jobs: readonly JobLine[];
  isWhole: boolean;
  /** There is more, and nothing is being asked for: what is fresh comes first. */
  canGoOn: boolean;
  onEnd: () => void;
}) => {
  const place = useRef<HTMLUListElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => setTop(place.current?.offsetTop ?? 0), []);
  const rows = useWindowVirtualizer({
    count: jobs.length,
    estimateSize: () => ROW_PX,
    overscan: 12,
    scrollMargin: top,
    getItemKey: (index) => jobs[index]?.id ?? index,
  });
  const shown = rows.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  useEffect(() => {
    if (canGoOn && last >= jobs.length - AHEAD) onEnd();
  }, [last, jobs.length, canGoOn, onEnd]);
  return (
    <div className="job-rows">
      <div className="job-row job-row-head" aria-hidden="true">
        <span>Job</span>
        <span>State</span>
        <span className="end wide">Pays</span>
        <span className="end wide">Took</span>
        <span className="end">Sent</span>
      </div>
      <ul ref={place} aria-label="Your jobs" className="job-body" style={{ height: rows.getTotalSize() }}>
        {shown.map(({ index, key, start }) => (
          <li
            key={key}
            aria-setsize={isWhole ? jobs.length : -1}
            aria-posinset={index + 1}
            className="job-row"
            style={{ transform: `translateY(${start - top}px)` }}
          >
            <Row job={jobs[index] as JobLine} />
          </li>
        ))}
      </ul>
    </div>
  );
};

const Filter = ({ filters }: { filters: Filters }) => {
  const navigate = useNavigate({ from: '/jobs' });
  const set = (change: Filters) => void navigate({ search: (now) => ({ ...now, ...change }), replace: true });
  const choice = (
    name: string,
    all: readonly string[],
    key: 'status' | 'type',
    nameOf: (each: string) => string,
  ) => (
    <label className="field">
      <span>{name}</span>
      <select
        value={filters[key] ?? ''}
        onChange={({ target }) => set({ [key]: target.value === '' ? undefined : target.value })}
      >
        <option value="">All</option>
        {all.map((each) => (
          <option key={each} value={each}>
            {nameOf(each)}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <div className="filters">
      {choice('State', STATES, 'status', words)}
      {choice('Type', TYPES, 'type', typeName)}
      <label className="field">
        <span>Label</span>
        <input
          type="search"
          defaultValue={filters.label ?? ''}
          onChange={({ target }) =>
            set({ label: target.value.trim() === '' ? undefined : target.value.trim() })
          }
        />
      </label>
    </div>
  );
};

const List = ({ filters }: { filters: Filters }) => {
  const query = useJobs(filters);
  const { fetchNextPage, hasNextPage, isFetchingNextPage, isFetching } = query;
  const jobs = useMemo(() => {
    // A job that came while the pages were read may stand on two of them.
    const all = new Map<string, JobLine>();
    for (const page of query.data?.pages ?? []) for (const line of page.lines) all.set(line.id, line);
    return [...all.values()];
  }, [query.data]);
  const isStill = (query.data?.pages.length ?? 0) > LIVE_PAGES_MAX;
  const isFiltered = Object.values(filters).some((value) => value !== undefined);
  return (
    <section className="card">
      <Answer query={query} lines={10}>
        {() =>
          jobs.length === 0 ? (
            <Empty title={isFiltered ? 'No job like that' : 'No job yet'}>
              <p>
                {isFiltered
                  ? 'Take a filter away, or write the label exactly as it was given.'
                  : 'What you send with this key or account stands here, as it happens. The API page shows how to send one.'}
              </p>
            </Empty>
          ) : (
            <>
              <Rows
                jobs={jobs}
                isWhole={!hasNextPage}
                canGoOn={hasNextPage && !isFetching}
                onEnd={fetchNextPage}
              />
              <p className="small muted" role="status">
                {hasNextPage ? `${count(jobs.length)} jobs so far` : `${count(jobs.length)} jobs`}
                {isFetchingNextPage ? ', more are coming …' : ''}
                {isStill ? '. A list this long stands still; load the page again for what is new.' : ''}
              </p>
            </>
          )
        }
      </Answer>
    </section>
  );
};

export const Jobs = () => {
  const filters = useSearch({ from: '/jobs' });
  return (
    <>
      <Head title="Jobs">
        What was sent with this key or account, the newest first. It changes by itself.
      </Head>
      <SignedIn what="your jobs">
        <Filter filters={filters} />
        <List filters={filters} />
      </SignedIn>
    </>
  );
};
