import type { PublicMiner } from '@aitbc/sdk';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { amount, count, percent, typeName } from '../format.ts';
import { Answer, More } from '../parts/answer.tsx';
import { Badge, Card, Copy, Empty, Facts, Head, Id, When } from '../parts/look.tsx';
import { SOMETIMES_MS, useWho } from '../queries.ts';
import { api } from '../session.ts';

const PAGE = 100;
const COMMAND = `AITBC_MINER_KEY=ak_… node run.mjs miner --coordinator ${location.origin}`;

const gpusOf = ({ gpus }: Pick<PublicMiner, 'gpus'>): string =>
  gpus.length === 0
    ? 'no card'
    : gpus.map(({ model, vram_gb, count: many }) => `${many} × ${model}, ${vram_gb} GB`).join('; ');

const IDLE: Record<string, string> = {
  inactive: 'It does not report. Look whether its agent runs and reaches the coordinator.',
  nothing_offered: 'Its agent offers no job type now. Its own log says why.',
  at_capacity: 'It holds as many jobs as it takes.',
  no_matching_jobs: 'No job that waits fits it: another type, model, card or a lower price.',
};

const Own = () => {
  const { data: who } = useWho();

  const own = useQuery({
    queryKey: ['miners', 'own'],
    queryFn: ({ signal }) => api().miners.mine({}, { signal }).page(),
    enabled: who?.scopes.includes('miner') === true,
    refetchInterval: SOMETIMES_MS,
  });
  if (own.data === undefined || own.data.items.length === 0) return null;
  return (
    <div className="grid">
      {own.data.items.map((miner) => (
        <Card key={miner.id} title={miner.name} actions={<Badge state={miner.status} />}>
          <div className="stack">
            <Facts
              facts={[
                ['Works on', `${miner.inflight} of ${miner.concurrency}`],
                ['Earned', amount(miner.earnings)],
                ['Done', `${count(miner.jobs_completed)}, and ${count(miner.jobs_failed)} failed`],
                ['Reputation', percent(miner.reputation)],
                ['Asks', amount(miner.price_per_job)],
                ['Heard', <When key="heard" at={miner.last_heartbeat} isRelative />],
              ]}
            />
            {miner.idle_reason === null ? null : <p className="muted">{IDLE[miner.idle_reason]}</p>}
            {miner.status_note === null ? null : <p className="small muted wrap">{miner.status_note}</p>}
          </div>
        </Card>
      ))}
    </div>
  );
};

const Everyone = () => {
  const miners = useInfiniteQuery({
    queryKey: ['miners', 'pages'],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().miners.list({ limit: PAGE, cursor: pageParam }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
    refetchInterval: SOMETIMES_MS,
  });
  return (
    <Card title="Everyone who is here">
      <Answer query={miners} lines={6}>
        {({ pages }) => {
          const all = pages.flatMap(({ items }) => items);
          return all.length === 0 ? (
            <Empty title="No miner yet">
              <p>The first one starts with this command, on any machine that reaches the coordinator:</p>
              <p className="mono wrap">{COMMAND}</p>
              <Copy text={COMMAND} what="the command" />
            </Empty>
          ) : (
            <div className="stack">
              <table className="table">
                <thead>
                  <tr>
                    <th scope="col">Miner</th>
                    <th scope="col">State</th>
                    <th scope="col" className="wide">
                      Does
                    </th>
                    <th scope="col" className="wide">
                      Cards
                    </th>
                    <th scope="col" className="wide">
                      Region
                    </th>
                    <th scope="col" className="end">
                      Reputation
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {all.map((miner) => (
                    <tr key={miner.id}>
                      <td>
                        <Id id={miner.id} />
                      </td>
                      <td>
                        <Badge state={miner.status} />
                      </td>
                      <td className="wide wrap">
                        {miner.capabilities.length === 0
                          ? 'nothing now'
                          : miner.capabilities.map(typeName).join(', ')}
                      </td>
                      <td className="wide wrap">{gpusOf(miner)}</td>
                      <td className="wide wrap">{miner.region ?? '–'}</td>
                      <td className="end number">{percent(miner.reputation)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
              <More query={miners} />
            </div>
          );
        }}
      </Answer>
    </Card>
  );
};

export const Miners = () => (
  <>
    <Head title="Miners">
      Machines that take jobs. Reputation comes from how their work for distinct accounts ended, weighed by
      what these paid.
    </Head>
    <Own />
    <Everyone />
  </>
);
