import { useQuery } from '@tanstack/react-query';
import { amount, count } from '../../format.ts';
import { Answer } from '../../parts/answer.tsx';
import { Card, Empty } from '../../parts/look.tsx';
import { api } from '../../session.ts';
import './wallet.css';

/** As many as the service counts without being asked for more. */
const DAYS = 30;

export const useSpend = (isAllowed: boolean) =>
  useQuery({
    enabled: isAllowed,
    queryKey: ['usage', 'day'],
    queryFn: ({ signal }) => api().account.usage({ group_by: 'day', limit: DAYS }, { signal }).page(),
    staleTime: 30_000,
  });

/** What jobs cost, day by day, the last 30 days that had any. */
export const Spend = () => {
  const usage = useSpend(true);
  return (
    <Card title="Spent on jobs, by day">
      <Answer query={usage} lines={6}>
        {({ items, total }) => {
          if (items.length === 0)
            return (
              <Empty title="Nothing spent in 30 days">
                <p>What your jobs cost stands here, a line for each day.</p>
              </Empty>
            );
          const most = Math.max(...items.map(({ spend }) => spend));
          return (
            <div className="stack">
              <table className="table days">
                <thead>
                  <tr>
                    <th scope="col">Day</th>
                    <th scope="col">Jobs</th>
                    <th scope="col" className="end">
                      Spent
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {items.map(({ day, jobs, spend }) => (
                    <tr key={day}>
                      <th scope="row">{day}</th>
                      <td>{count(jobs)}</td>
                      <td className="end number">
                        {amount(spend)}
                        <div className="bar" aria-hidden="true">
                          <i style={{ width: `${most === 0 ? 0 : (spend / most) * 100}%` }} />
                        </div>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
              <p className="small muted">
                {amount(total.spend)} for {count(total.completed)} jobs that were done. Days of UTC.
              </p>
            </div>
          );
        }}
      </Answer>
    </Card>
  );
};
