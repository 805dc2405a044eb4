import type { Proposal } from '@aitbc/sdk';
import { useInfiniteQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { words } from '../../format.ts';
import { Answer, More } from '../../parts/answer.tsx';
import { Badge, Empty, When } from '../../parts/look.tsx';
import { SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { Tally, TimeLeft } from './tally.tsx';
import { TargetLine } from './target.tsx';
import { toneOf } from './words.ts';

const PAGE = 20;
const STATES = [
  'active',
  'passed',
  'queued',
  'executed',
  'rejected',
  'cancelled',
  'execution_failed',
] as const satisfies readonly Proposal['status'][];

const Filter = () => {
  const { status } = useSearch({ from: '/governance' });
  const navigate = useNavigate({ from: '/governance' });
  return (
    <div className="filters">
      <label className="field">
        <span>State</span>
        <select
          value={status ?? ''}
          onChange={({ target }) =>
            void navigate({
              search: { status: STATES.find((each) => each === target.value) },
              replace: true,
            })
          }
        >
          <option value="">All</option>
          {STATES.map((each) => (
            <option key={each} value={each}>
              {words(each)}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
};

const One = ({ proposal }: { proposal: Proposal }) => (
  <li className="card stack">
    <div className="proposal-title">
      <h2 className="wrap">
        <Link to="/governance/$proposalId" params={{ proposalId: proposal.id }}>
          {proposal.title}
        </Link>
      </h2>
      <Badge state={proposal.status} tone={toneOf(proposal.status)} />
    </div>
    <p className="wrap">
      <TargetLine proposal={proposal} />
      <span className="small muted">
        {' '}
        · made <When at={proposal.created_at} isRelative />
      </span>
    </p>
    <Tally proposal={proposal} />
    <TimeLeft proposal={proposal} />
  </li>
);

export const Proposals = () => {
  const search = useSearch({ from: '/governance' });
  const status = STATES.find((each) => each === search.status);
  const proposals = useInfiniteQuery({
    queryKey: ['proposals', 'list', status],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().governance.list({ status, limit: PAGE, cursor: pageParam }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
    refetchInterval: SOMETIMES_MS,
  });
  return (
    <>
      <Filter />
      <Answer query={proposals} lines={12}>
        {({ pages }) => {
          const all = pages.flatMap(({ items }) => items);
          return all.length === 0 ? (
            <section className="card">
              <Empty title={status === undefined ? 'No proposal yet' : 'No proposal like that'}>
                <p>
                  Whoever holds enough tokens can propose to change a parameter, to pay from the treasury, or
                  to put a text on record.
                </p>
              </Empty>
            </section>
          ) : (
            <>
              <ul className="proposals" aria-label="Proposals">
                {all.map((proposal) => (
                  <One key={proposal.id} proposal={proposal} />
                ))}
              </ul>
              <More query={proposals} />
            </>
          );
        }}
      </Answer>
    </>
  );
};
