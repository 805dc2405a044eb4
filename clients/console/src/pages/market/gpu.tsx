import type { Order, Reply } from '@aitbc/sdk';
import { useQuery } from '@tanstack/react-query';
import { Link, useParams, useSearch } from '@tanstack/react-router';
import { count } from '../../format.ts';
import { Sought } from '../../parts/answer.tsx';
import { Entries } from '../../parts/entries.tsx';
import { Card, Facts, Head, Id, Skeleton } from '../../parts/look.tsx';
import { SOMETIMES_MS, useWho } from '../../queries.ts';
import { api, useCredential } from '../../session.ts';
import { Book } from './book.tsx';
import { Booking } from './bookings.tsx';
import { Calendar, type Taken } from './calendar.tsx';
import { GpuState, ratingOf } from './gpus.tsx';
import { isOpen, useOrders } from './orders.ts';
import { ModelPrices, Prices } from './prices.tsx';
import { Reviews, toReview, useReviews } from './reviews.tsx';
import './market.css';

type Gpu = Reply<'market.get'>;

const useGpu = (gpuId: string) =>
  useQuery({
    queryKey: ['gpus', 'one', gpuId],
    queryFn: ({ signal }) => api().gpus.get(gpuId, { signal }),
    refetchInterval: SOMETIMES_MS,
  });

const usePricing = (model: string | undefined) =>
  useQuery({
    enabled: model !== undefined,
    queryKey: ['gpus', 'pricing', model],
    queryFn: ({ signal }) => api().gpus.pricing(model as string, { signal }),
    refetchInterval: SOMETIMES_MS,
  });

/** What everybody sees as taken, and of that what is one's own. */
const takenOf = (gpu: Gpu, own: readonly Order[]): Taken[] => {
  const mine = new Set(own.map(({ start_time }) => Date.parse(start_time)));
  const { current_booking, upcoming_bookings } = gpu;
  return [...(current_booking === null ? [] : [current_booking]), ...upcoming_bookings].map((window) => {
    const start = Date.parse(window.start_time);
    return { start, end: Date.parse(window.end_time), isMine: mine.has(start) };
  });
};

const What = ({ gpu }: { gpu: Gpu }) => (
  <Card title="The card">
    <Facts
      facts={[
        ['Memory', `${count(gpu.memory_gb)} GB`],
        ['Region', gpu.region],
        gpu.cuda_version === null ? null : ['CUDA', gpu.cuda_version],
        gpu.capabilities.length === 0 ? null : ['Can do', gpu.capabilities.join(', ')],
        ['Rating of its owner', ratingOf(gpu)],
        gpu.owner_interruptions === 0
          ? null
          : ['Broken off by its owner', `${count(gpu.owner_interruptions)} of all its bookings`],
        ['Owner', <Id key="owner" id={gpu.owner_id} />],
      ]}
    />
  </Card>
);

const One = ({ gpu }: { gpu: Gpu }) => {
  const { from } = useSearch({ from: '/market/$gpuId' });
  const { data: who } = useWho();
  const isSignedIn = useCredential() !== null;
  const orders = useOrders();
  const reviews = useReviews(gpu.id);
  const pricing = usePricing(gpu.model);
  // All at once, when all is there: what comes late would push down what stands there.
  if (reviews.isPending || pricing.isPending || orders.isLoading || (isSignedIn && who === undefined))
    return <Skeleton lines={16} />;
  const all = orders.data?.pages.flatMap(({ items }) => items) ?? [];
  const here = all.filter((order) => order.gpu_id === gpu.id && isOpen(order));
  const own = here.filter(({ booker_id }) => booker_id === who?.user_id);
  const known = reviews.data?.pages.flatMap(({ items }) => items) ?? [];
  const taken = takenOf(gpu, own);
  return (
    <>
      <Head title={gpu.model} actions={<GpuState gpu={gpu} />}>
        <Link to="/market">All GPUs</Link>
      </Head>
      {here.length === 0 ? null : (
        <Card title="Booked, and not over">
          <Entries name="Open bookings">
            {here.map((order) => (
              <Booking key={order.id} order={order} />
            ))}
          </Entries>
        </Card>
      )}
      <div className="columns">
        <div className="stack">
          <Book key={from ?? 'new'} gpu={gpu} taken={taken} from={from} />
          <Calendar taken={taken} />
          <Reviews query={reviews} order={toReview(all, known, gpu.id, who?.user_id)} />
        </div>
        <div className="stack">
          <Prices gpu={gpu} />
          {pricing.data === undefined ? null : <ModelPrices pricing={pricing.data} />}
          <What gpu={gpu} />
        </div>
      </div>
    </>
  );
};

export const GpuPage = () => {
  const { gpuId } = useParams({ from: '/market/$gpuId' });
  const gpu = useGpu(gpuId);
  if (gpu.data !== undefined) return <One key={gpuId} gpu={gpu.data} />;
  return (
    <Sought
      query={gpu}
      title="A GPU"
      missing={{
        title: 'Not on offer',
        says: 'This GPU is not on offer any more',
        to: '/market',
        link: 'Look for another',
      }}
    />
  );
};
