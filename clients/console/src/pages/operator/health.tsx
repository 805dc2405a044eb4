import { useQuery } from '@tanstack/react-query';
import { count } from '../../format.ts';
import { Answer } from '../../parts/answer.tsx';
import { Card, Empty, Figure } from '../../parts/look.tsx';
import { OFTEN_MS } from '../../queries.ts';
import { api } from '../../session.ts';
import { Picture } from './picture.tsx';
import { type Stats, systemOf } from './system.ts';

/** What a service lacks, in its own words. */
const Complaints = ({ stats }: { stats: Stats }) => {
  const lacking = stats.services.flatMap(({ service, ok, dependencies }) => {
    const broken = Object.entries(dependencies).filter(([, { ok: isWell }]) => !isWell);
    if (broken.length > 0)
      return broken.map(([name, { message }]) => ({
        key: `${service} ${name}`,
        says: `${service}: ${name} ${message ?? 'does not answer'}`,
      }));
    return ok ? [] : [{ key: service, says: `${service} does not answer. Its log says why.` }];
  });
  return lacking.length === 0 ? null : (
    <div className="alert" role="alert">
      {lacking.map(({ key, says }) => (
        <p key={key}>{says}</p>
      ))}
    </div>
  );
};

const Mailboxes = ({ mailboxes }: Pick<Stats, 'mailboxes'>) =>
  mailboxes === null ? (
    <Empty title="Redis does not answer">
      <p>Nothing is lost: messages wait in the outboxes, and are sent when it is back.</p>
    </Empty>
  ) : (
    <div className="scroll">
      <table className="table">
        <thead>
          <tr>
            <th scope="col">For</th>
            <th scope="col" className="end">
              Waiting
            </th>
            <th scope="col" className="end wide">
              In hand
            </th>
            <th scope="col" className="end wide">
              Later
            </th>
            <th scope="col" className="end wide">
              Given up
            </th>
            <th scope="col" className="end">
              Workers
            </th>
          </tr>
        </thead>
        <tbody>
          {mailboxes.map(({ destination, waiting, active, delayed, failed, workers }) => (
            <tr key={destination}>
              <th scope="row">{destination}</th>
              <td className="end number">{count(waiting)}</td>
              <td className="end number wide">{count(active)}</td>
              <td className="end number wide">{count(delayed)}</td>
              <td className="end number wide">{count(failed)}</td>
              <td className="end number">{count(workers)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );

export const Health = () => {
  const stats = useQuery({
    queryKey: ['operator', 'stats'],
    queryFn: ({ signal }) => api().admin.stats({ signal }),
    refetchInterval: OFTEN_MS,
  });
  return (
    <Answer query={stats} lines={12}>
      {(now) => (
        <>
          <Complaints stats={now} />
          <Card title="The system, now">
            <Picture system={systemOf(now)} />
          </Card>
          <div className="figures">
            {(
              [
                ['Jobs that wait or run', now.active_jobs],
                ['Miners', now.registered_miners],
                ['Accounts', now.accounts],
                ['Keys in use', now.api_keys],
                ['Sessions', now.sessions],
              ] as const
            ).map(([name, value]) => (
              <section key={name} className="card">
                <Figure name={name}>{value === null ? 'unknown' : count(value)}</Figure>
              </section>
            ))}
          </div>
          <Card title="Mailboxes, in batches of messages">
            <Mailboxes mailboxes={now.mailboxes} />
          </Card>
        </>
      )}
    </Answer>
  );
};
