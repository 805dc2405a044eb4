import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { amount } from '../../format.ts';
import { Answer, More } from '../../parts/answer.tsx';
import { Card, Empty, When } from '../../parts/look.tsx';
import { SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { kindOf } from '../explorer/ledger.ts';

const PAGE = 50;

export const useStatement = (isAllowed: boolean) =>
  useInfiniteQuery({
    enabled: isAllowed,
    queryKey: ['statement'],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().account.statement({ limit: PAGE, cursor: pageParam }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
    refetchInterval: SOMETIMES_MS,
  });

/** What went in and out, newest first, each with the balance after it. */
export const Statement = () => {
  const statement = useStatement(true);
  return (
    <Card title="Statement">
      <Answer query={statement} lines={8}>
        {({ pages }) => {
          const all = pages.flatMap(({ items }) => items);
          return all.length === 0 ? (
            <Empty title="Nothing yet">
              <p>What you buy, spend, earn, send and get stands here, each with the balance after it.</p>
            </Empty>
          ) : (
            <div className="stack">
              <table className="table">
                <thead>
                  <tr>
                    <th scope="col">What</th>
                    <th scope="col" className="wide">
                      When
                    </th>
                    <th scope="col" className="end">
                      Amount
                    </th>
                    <th scope="col" className="end wide">
                      Balance
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {all.map((entry) => (
                    <tr key={entry.hash}>
                      <td className="wrap">
                        <Link to="/explorer/transactions/$hash" params={{ hash: entry.hash }}>
                          {kindOf(entry)}
                        </Link>
                        {entry.memo === null ? null : <div className="small muted">{entry.memo}</div>}
                      </td>
                      <td className="muted wide">
                        <When at={entry.time} />
                      </td>
                      <td className="end number">
                        {entry.amount > 0 ? '+' : ''}
                        {amount(entry.amount)}
                      </td>
                      <td className="end number wide">{amount(entry.balance)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
              <More query={statement} />
            </div>
          );
        }}
      </Answer>
    </Card>
  );
};
