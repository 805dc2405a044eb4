import type { GovernedParameter } from '@aitbc/sdk';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { words } from '../../format.ts';
import { Answer, More } from '../../parts/answer.tsx';
import { Entries, Entry } from '../../parts/entries.tsx';
import { Card, Id, When } from '../../parts/look.tsx';
import { SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { boundsOf, shown, stepOf } from './words.ts';

const PAGE = 20;

export const useParameters = () =>
  useQuery({
    queryKey: ['parameters', 'list'],
    queryFn: ({ signal }) => api().governance.parameters({ signal }),
    refetchInterval: SOMETIMES_MS,
  });

const History = ({ name }: { name: GovernedParameter['name'] }) => {
  const history = useInfiniteQuery({
    queryKey: ['parameters', 'history', name],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().governance.parameterHistory(name, { limit: PAGE, cursor: pageParam }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
  });
  return (
    <Answer query={history} lines={2}>
      {({ pages }) => {
        const all = pages.flatMap(({ items }) => items);
        return all.length === 0 ? (
          <p className="small muted">It was never changed.</p>
        ) : (
          <div className="stack">
            <ol className="history small">
              {all.map((change) => (
                <li key={change.version} className="wrap">
                  <strong>
                    <bdi>{shown(change.value)}</bdi>
                  </strong>{' '}
                  since <When at={change.changed_at} />
                  {change.proposal_id === null ? (
                    <>
                      , reset by an operator: <bdi>{change.reset_reason}</bdi>
                    </>
                  ) : (
                    <>
                      , by{' '}
                      <Link to="/governance/$proposalId" params={{ proposalId: change.proposal_id }}>
                        proposal <Id id={change.proposal_id} />
                      </Link>
                    </>
                  )}
                </li>
              ))}
            </ol>
            <More query={history} />
          </div>
        );
      }}
    </Answer>
  );
};

const One = ({ parameter }: { parameter: GovernedParameter }) => {
  const [isOpen, setOpen] = useState(false);
  return (
    <Entry
      title={words(parameter.name)}
      actions={
        <>
          <button
            type="button"
            className="button"
            aria-expanded={isOpen}
            aria-label={`History: ${words(parameter.name)}`}
            onClick={() => setOpen(!isOpen)}
          >
            History
          </button>
          <Link
            to="/governance"
            search={{ part: 'propose', parameter: parameter.name }}
            className="button"
            aria-label={`Propose a change: ${words(parameter.name)}`}
          >
            Propose a change
          </Link>
        </>
      }
      rest={isOpen ? <History name={parameter.name} /> : undefined}
    >
      <p>{parameter.description}</p>
      <p>
        <strong>
          <bdi>{shown(parameter.value)}</bdi>
        </strong>
        , by default <bdi>{shown(parameter.default)}</bdi> · may be {boundsOf(parameter)} · one vote{' '}
        {stepOf(parameter)} · {parameter.service} obeys it
      </p>
    </Entry>
  );
};

/** Everything that a vote can change. */
export const Parameters = () => {
  const parameters = useParameters();
  return (
    <Card title="Parameters">
      <Answer query={parameters} lines={14}>
        {(all) => (
          <Entries name="Parameters">
            {all.map((parameter) => (
              <One key={parameter.name} parameter={parameter} />
            ))}
          </Entries>
        )}
      </Answer>
    </Card>
  );
};
