import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { lazy, Suspense, useMemo } from 'react';
import { amount, count, duration } from '../../format.ts';
import { Answer } from '../../parts/answer.tsx';
import { Card, Empty, Figure, Head, Skeleton } from '../../parts/look.tsx';
import { OFTEN_MS, SOMETIMES_MS, useBalance } from '../../queries.ts';
import { api, useCredential } from '../../session.ts';
import { Blocks } from '../explorer/blocks.tsx';
import { JobTable } from '../jobs/table.tsx';
import { LIVE_MS, useReceipts } from './network.ts';
import { type BinSeconds, recentOf } from './recent.ts';

const TimeBars = lazy(async () => ({ default: (await import('../../parts/chart.tsx')).TimeBars }));

/** One page of each list: what is newest. */
const MINERS = 500;
const BLOCKS = 8;
const OWN_JOBS = 6;
/** What a bar of the chart stands for, by its seconds. */
const EVERY: Readonly<Record<BinSeconds, string>> = {
  1: 'second by second',
  5: 'every 5 seconds',
  15: 'every 15 seconds',
  60: 'minute by minute',
};
/** A row of a table is so high: what is kept free for a list, so that nothing moves when it comes. */
const ROW_PX = 37;

const Offer = ({ title, children, action }: { title: string; children: string; action: React.ReactNode }) => (
  <section className="card stack">
    <h2>{title}</h2>
    <p className="muted">{children}</p>
    <div style={{ marginTop: 'auto' }}>{action}</div>
  </section>
);

const Welcome = () => (
  <div className="grid">
    <Offer
      title="Try it"
      action={
        <Link to="/playground" className="button" data-kind="main">
          Open the playground
        </Link>
      }
    >
      Read a picture, ask a model, tell a language. A job costs what you say, and what fails costs nothing.
    </Offer>
    <Offer
      title="Run a miner"
      action={
        <a className="button" href="/docs#/Miners">
          How miners work
        </a>
      }
    >
      Lend your graphics card to others and earn for each job. One command starts it; it stops when you stop
      it.
    </Offer>
    <Offer
      title="Build on it"
      action={
        <a className="button" href="/docs">
          Read the API
        </a>
      }
    >
      Everything here is done through the public API. Programs for OpenAI work as they are, with another
      address.
    </Offer>
  </div>
);

const Balance = () => (
  <Answer query={useBalance()} lines={1}>
    {(balance) => (
      <Figure
        name="Your balance"
        note={balance.held > 0 ? `${amount(balance.held)} held for jobs and bookings` : 'nothing held'}
      >
        {amount(balance.available)}
      </Figure>
    )}
  </Answer>
);

const Network = () => {
  const receipts = useReceipts();
  const miners = useQuery({
    queryKey: ['miners', 'all'],
    queryFn: ({ signal }) => api().miners.list({ limit: MINERS }, { signal }).page(),
    refetchInterval: SOMETIMES_MS,
  });
  const recent = useMemo(
    () =>
      receipts.data === undefined
        ? undefined
        : recentOf(receipts.data.items, receipts.data.next_cursor !== null, Date.now()),
    [receipts.data],
  );
  const active = miners.data?.items.filter(({ status }) => status === 'active').length;
  const isSignedIn = useCredential() !== null;
  return (
    <>
      <div className="figures">
        {isSignedIn ? (
          <section className="card">
            <Balance />
          </section>
        ) : null}
        <section className="card">
          <Answer query={miners} lines={1}>
            {({ items, next_cursor }) => (
              <Figure
                name="Miners at work"
                note={`of ${next_cursor === null ? '' : 'the newest '}${count(items.length)} known`}
              >
                {count(active ?? 0)}
              </Figure>
            )}
          </Answer>
        </section>
        <section className="card">
          <Answer query={receipts} lines={1}>
            {() =>
              recent?.isWholeHour === false ? (
                <Figure
                  name="Jobs done a minute"
                  note={`the newest ${count(recent.completed)}, ${amount(recent.paid)} paid for them`}
                >
                  {count(Math.round(recent.perMinute))}
                </Figure>
              ) : (
                <Figure name="Jobs done in the last hour" note={`${amount(recent?.paid ?? 0)} paid for them`}>
                  {count(recent?.completed ?? 0)}
                </Figure>
              )
            }
          </Answer>
        </section>
        <section className="card">
          <Answer query={receipts} lines={1}>
            {() => (
              <Figure
                name="Time a job takes"
                note={recent?.slowMs == null ? 'in the middle' : `19 of 20 within ${duration(recent.slowMs)}`}
              >
                {recent?.medianMs == null ? '–' : duration(recent.medianMs)}
              </Figure>
            )}
          </Answer>
        </section>
      </div>
      <Card title={`Jobs done, ${EVERY[recent?.binSeconds ?? 60]}`}>
        <div style={{ minHeight: 180 }}>
          {recent === undefined ? (
            <Answer query={receipts}>{() => null}</Answer>
          ) : (
            <Suspense fallback={<Skeleton />}>
              <TimeBars
                at={recent.at}
                values={recent.done}
                name="Jobs"
                says={
                  recent.isWholeHour
                    ? `Jobs done in each minute of the last hour: ${recent.completed} in all.`
                    : `The newest ${recent.completed} jobs, by the time they were done.`
                }
              />
            </Suspense>
          )}
        </div>
      </Card>
    </>
  );
};

const NewestBlocks = () => {
  const blocks = useQuery({
    queryKey: ['blocks', 'newest'],
    queryFn: ({ signal }) => api().explorer.blocks({ limit: BLOCKS }, { signal }).page(),
    refetchInterval: LIVE_MS,
  });
  return (
    <Card title="Newest blocks" actions={<Link to="/explorer">All blocks</Link>}>
      <div style={{ minHeight: (BLOCKS + 1) * ROW_PX }}>
        <Answer query={blocks} lines={5}>
          {({ items }) => (
            <div className="scroll">
              <Blocks items={items} />
            </div>
          )}
        </Answer>
      </div>
    </Card>
  );
};

const OwnJobs = () => {
  const jobs = useQuery({
    queryKey: ['jobs', 'newest'],
    queryFn: ({ signal }) => api().jobs.list({ limit: OWN_JOBS }, { signal }).page(),
    refetchInterval: OFTEN_MS,
  });
  return (
    <Card title="Your newest jobs" actions={<Link to="/jobs">All jobs</Link>}>
      <div style={{ minHeight: (OWN_JOBS + 1) * ROW_PX }}>
        <Answer query={jobs} lines={5}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty title="No job yet">
                <p>What you send with this key or account stands here, as it happens.</p>
              </Empty>
            ) : (
              <JobTable jobs={items} />
            )
          }
        </Answer>
      </div>
    </Card>
  );
};

export const Home = () => {
  const isSignedIn = useCredential() !== null;
  return (
    <>
      <Head title={isSignedIn ? 'Home' : 'Run AI on other people’s machines'}>
        {isSignedIn
          ? 'What runs now, here and for you.'
          : 'AITBC brings jobs to miners, holds the money until the work is done, and signs a receipt that anyone can check.'}
      </Head>
      {isSignedIn ? null : <Welcome />}
      <Network />
      {isSignedIn ? (
        <div className="columns">
          <OwnJobs />
          <NewestBlocks />
        </div>
      ) : (
        <NewestBlocks />
      )}
    </>
  );
};
