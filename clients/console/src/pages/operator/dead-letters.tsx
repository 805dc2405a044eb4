import type { DeadLetter } from '@aitbc/sdk';
import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query';
import { count } from '../../format.ts';
import { Answer, Failure, More } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { Entries, Entry } from '../../parts/entries.tsx';
import { Badge, Block, Card, Empty, When } from '../../parts/look.tsx';
import { OFTEN_MS } from '../../queries.ts';
import { api } from '../../session.ts';

const PAGE = 50;
/** Beyond that the pages stand still: each asks every service. */
const LIVE_PAGES_MAX = 2;

type Act = Parameters<ReturnType<typeof api>['admin']['actOnDeadLetter']>[0];

const Actions = ({ letter }: { letter: DeadLetter }) => {
  const queries = useQueryClient();
  const act = useMutation({
    mutationFn: (action: Act['action']) =>
      api().admin.actOnDeadLetter({ service: letter.service as Act['service'], id: letter.id, action }),
    onSettled: () => queries.invalidateQueries({ queryKey: ['operator'] }),
  });
  return (
    <>
      <button
        type="button"
        className="button"
        aria-label={`Replay: ${letter.name} to ${letter.service}`}
        disabled={act.isPending}
        onClick={() => act.mutate('replay')}
      >
        Replay
      </button>
      <Confirm
        action="Drop"
        about={`${letter.name} to ${letter.service}`}
        title="Drop this message for good?"
        isBusy={act.isPending}
        onConfirm={() => act.mutate('drop')}
      >
        {letter.service} never hears it then, and nobody says it again. What it would have changed stays
        undone: money that waits for it goes on waiting.
      </Confirm>
      {act.error === null ? null : <Failure error={act.error} />}
    </>
  );
};

const state = (letter: DeadLetter) =>
  letter.retry_at === null ? (
    <Badge state="given up" tone="bad" />
  ) : (
    <Badge state="tried again by itself" tone="warn" />
  );

export const DeadLetters = () => {
  const letters = useInfiniteQuery({
    queryKey: ['operator', 'dead-letters'],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().admin.deadLetters({ limit: PAGE, cursor: pageParam }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
    refetchInterval: ({ state: { data } }) => ((data?.pages.length ?? 1) > LIVE_PAGES_MAX ? false : OFTEN_MS),
  });
  return (
    <Card title="Dead letters">
      <Answer query={letters} lines={6}>
        {({ pages }) => {
          const all = pages.flatMap(({ items }) => items);
          const silent = [...new Set(pages.flatMap(({ unavailable }) => unavailable))];
          return (
            <div className="stack">
              {silent.length === 0 ? null : (
                <div className="alert" data-tone="warn">
                  {silent.join(', ')} {silent.length === 1 ? 'does' : 'do'} not answer: theirs are not shown.
                </div>
              )}
              {all.length === 0 ? (
                <Empty title="No dead letter">
                  <p>
                    Messages that a service could not handle stand here, until they are replayed or dropped.
                  </p>
                </Empty>
              ) : (
                <Entries name="Dead letters">
                  {all.map((letter) => (
                    <Entry
                      key={`${letter.service} ${letter.id}`}
                      title={letter.name}
                      state={state(letter)}
                      actions={<Actions letter={letter} />}
                      rest={<Block name={`why ${letter.name} failed`}>{letter.error}</Block>}
                    >
                      To {letter.service} · came <When at={letter.created_at} isRelative /> · failed{' '}
                      {count(letter.attempts)} {letter.attempts === 1 ? 'time' : 'times'}
                      {letter.retry_at === null ? null : (
                        <>
                          {' '}
                          · again <When at={letter.retry_at} isRelative />
                        </>
                      )}
                      <span className="wrap">
                        {' '}
                        · stream <bdi>{letter.stream}</bdi>
                        {letter.seq === null ? '' : `, number ${count(letter.seq)}`}
                      </span>
                    </Entry>
                  ))}
                </Entries>
              )}
              <More query={letters} />
            </div>
          );
        }}
      </Answer>
    </Card>
  );
};
