import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { amount } from '../../format.ts';
import { Answer, More } from '../../parts/answer.tsx';
import { Entries, Entry } from '../../parts/entries.tsx';
import { Card, Empty, Skeleton } from '../../parts/look.tsx';
import { SOMETIMES_MS, useWho } from '../../queries.ts';
import { api } from '../../session.ts';
import { GpuState, ratingOf } from './gpus.tsx';
import { ChangeOffer, MakeOffer } from './offer.tsx';
import { useMay } from './orders.ts';

const PAGE = 50;

const useOffers = (owner: string | undefined) =>
  useInfiniteQuery({
    enabled: owner !== undefined,
    queryKey: ['gpus', 'own', owner],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().gpus.list({ owner_id: owner, limit: PAGE, cursor: pageParam }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
    refetchInterval: SOMETIMES_MS,
  });

/** What the account offers, and the way to offer more. */
export const Offers = () => {
  const { data: who } = useWho();
  const may = useMay();
  const [isMaking, setMaking] = useState(false);
  const offers = useOffers(may.miner ? who?.user_id : undefined);
  if (who === undefined) return <Skeleton lines={8} />;
  if (!may.miner)
    return (
      <section className="card">
        <Empty title="This key offers nothing">
          <p>Sign in with a key that may mine, or with a wallet.</p>
        </Empty>
      </section>
    );
  return (
    <Card
      title="What you offer"
      actions={
        isMaking ? null : (
          <button type="button" className="button" onClick={() => setMaking(true)}>
            Offer a GPU
          </button>
        )
      }
    >
      <div className="stack">
        {isMaking ? (
          <div className="maker">
            <MakeOffer onDone={() => setMaking(false)} />
          </div>
        ) : null}
        <Answer query={offers} lines={8}>
          {({ pages }) => {
            const all = pages.flatMap(({ items }) => items);
            return all.length === 0 ? (
              <Empty title="Nothing yet">
                <p>Offer a graphics card of yours by the hour: who books it pays for the time it has it.</p>
              </Empty>
            ) : (
              <>
                <Entries name="Your offers">
                  {all.map((gpu) => (
                    <Entry
                      key={gpu.id}
                      title={
                        <Link to="/market/$gpuId" params={{ gpuId: gpu.id }}>
                          {gpu.model}
                        </Link>
                      }
                      state={<GpuState gpu={gpu} />}
                      actions={<ChangeOffer gpu={gpu} />}
                    >
                      {amount(gpu.price_per_hour)} an hour
                      {gpu.pricing === 'dynamic'
                        ? `, moving around ${amount(gpu.base_price_per_hour)}`
                        : null}{' '}
                      · {gpu.memory_gb} GB · {gpu.region} · {ratingOf(gpu)}
                    </Entry>
                  ))}
                </Entries>
                <More query={offers} />
              </>
            );
          }}
        </Answer>
      </div>
    </Card>
  );
};
