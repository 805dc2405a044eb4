import type { GpuOffer } from '@aitbc/sdk';
import { useInfiniteQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';
import { amount, count } from '../../format.ts';
import { Answer, More } from '../../parts/answer.tsx';
import { Badge, Card, Empty } from '../../parts/look.tsx';
import { SOMETIMES_MS } from '../../queries.ts';
import { api } from '../../session.ts';

const PAGE = 60;
/** Asked for when one pauses, not with every letter: a signed-out address has 60 requests a minute. */
const PAUSE_MS = 400;
const SORTS = [
  ['price', 'cheapest'],
  ['rating', 'best rated'],
  ['memory', 'most memory'],
] as const;

/** What is looked for, as it stands in the address. */
export interface GpuSearch {
  readonly model?: string | undefined;
  readonly region?: string | undefined;
  readonly memory?: number | undefined;
  readonly price?: number | undefined;
  readonly free?: boolean | undefined;
  readonly sort?: 'price' | 'rating' | 'memory' | undefined;
  readonly as?: 'table' | undefined;
}

export const GpuState = ({ gpu }: { gpu: GpuOffer }) =>
  gpu.available ? (
    <Badge state="free" tone="good" />
  ) : gpu.booked ? (
    <Badge state="booked" tone="busy" />
  ) : (
    <Badge state="away" tone="warn" />
  );

export const ratingOf = ({ rating, rating_count }: GpuOffer): string =>
  rating === null
    ? 'not rated yet'
    : `${rating.toFixed(1)} of 5, by ${count(rating_count)} ${rating_count === 1 ? 'account' : 'accounts'}`;

const memoryOf = ({ memory_gb }: GpuOffer): string => `${count(memory_gb)} GB`;

const Filter = () => {
  const search = useSearch({ from: '/market' });
  const navigate = useNavigate({ from: '/market' });
  const set = (change: GpuSearch) =>
    void navigate({ search: (now) => ({ ...now, ...change }), replace: true });
  const written = useRef<GpuSearch>({});
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const setSoon = (change: GpuSearch): void => {
    written.current = { ...written.current, ...change };
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      set(written.current);
      written.current = {};
    }, PAUSE_MS);
  };
  const texts = (name: string, key: 'model' | 'region', example: string) => (
    <label className="field">
      <span>{name}</span>
      <input
        type="search"
        maxLength={100}
        placeholder={example}
        defaultValue={search[key] ?? ''}
        onChange={({ target }) => setSoon({ [key]: target.value.trim() || undefined })}
      />
    </label>
  );
  const numbers = (name: string, key: 'memory' | 'price') => (
    <label className="field">
      <span>{name}</span>
      <input
        type="number"
        min="0"
        max="10000"
        step="any"
        defaultValue={search[key] ?? ''}
        onChange={({ target }) =>
          setSoon({ [key]: target.value !== '' && target.validity.valid ? target.valueAsNumber : undefined })
        }
      />
    </label>
  );
  return (
    <div className="stack">
      <div className="filters">
        {texts('Model', 'model', 'RTX 4090')}
        {texts('Region', 'region', 'eu-central')}
        {numbers('Memory from, in GB', 'memory')}
        {numbers('An hour up to, in AITBC', 'price')}
        <label className="field">
          <span>First</span>
          <select
            value={search.sort ?? ''}
            onChange={({ target }) => set({ sort: SORTS.find(([value]) => value === target.value)?.[0] })}
          >
            <option value="">newest</option>
            {SORTS.map(([value, says]) => (
              <option key={value} value={value}>
                {says}
              </option>
            ))}
          </select>
        </label>
      </div>
      <div className="row gpu-choices">
        <label className="check">
          <input
            type="checkbox"
            checked={search.free === true}
            onChange={({ target }) => set({ free: target.checked || undefined })}
          />
          Free now
        </label>
        <label className="check">
          <input
            type="checkbox"
            checked={search.as === 'table'}
            onChange={({ target }) => set({ as: target.checked ? 'table' : undefined })}
          />
          As a table
        </label>
      </div>
    </div>
  );
};

const Cards = ({ gpus }: { gpus: readonly GpuOffer[] }) => (
  <ul className="gpu-cards" aria-label="GPUs">
    {gpus.map((gpu) => (
      <li key={gpu.id} className="card stack">
        <div className="gpu-title">
          <h2 className="wrap">
            <Link to="/market/$gpuId" params={{ gpuId: gpu.id }}>
              {gpu.model}
            </Link>
          </h2>
          <GpuState gpu={gpu} />
        </div>
        <p className="muted wrap">
          {memoryOf(gpu)} · {gpu.region}
        </p>
        <p className="gpu-price">
          {amount(gpu.price_per_hour)} <span className="small muted">an hour</span>
        </p>
        <p className="small muted">
          {ratingOf(gpu)}
          {gpu.pricing === 'dynamic' ? ' · the price moves' : null}
        </p>
      </li>
    ))}
  </ul>
);

export const GpuTable = ({ gpus }: { gpus: readonly GpuOffer[] }) => (
  <table className="table">
    <thead>
      <tr>
        <th scope="col">GPU</th>
        <th scope="col">State</th>
        <th scope="col" className="wide end">
          Memory
        </th>
        <th scope="col" className="wide">
          Region
        </th>
        <th scope="col" className="wide">
          Rating
        </th>
        <th scope="col" className="end">
          An hour
        </th>
      </tr>
    </thead>
    <tbody>
      {gpus.map((gpu) => (
        <tr key={gpu.id}>
          <td className="wrap">
            <Link to="/market/$gpuId" params={{ gpuId: gpu.id }}>
              {gpu.model}
            </Link>
          </td>
          <td>
            <GpuState gpu={gpu} />
          </td>
          <td className="wide end number">{memoryOf(gpu)}</td>
          <td className="wide wrap">{gpu.region}</td>
          <td className="wide muted">{ratingOf(gpu)}</td>
          <td className="end number">{amount(gpu.price_per_hour)}</td>
        </tr>
      ))}
    </tbody>
  </table>
);

export const Gpus = () => {
  const { model, region, memory, price, free, sort, as } = useSearch({ from: '/market' });
  const gpus = useInfiniteQuery({
    queryKey: ['gpus', 'list', model, region, memory, price, free, sort],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api()
        .gpus.list(
          {
            limit: PAGE,
            cursor: pageParam,
            model,
            region,
            memory_min: memory,
            price_max: price,
            available: free,
            sort,
          },
          { signal },
        )
        .page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
    refetchInterval: SOMETIMES_MS,
  });
  const isFiltered = [model, region, memory, price, free].some((value) => value !== undefined);
  return (
    <>
      <Filter />
      <Answer query={gpus} lines={12}>
        {({ pages }) => {
          const all = pages.flatMap(({ items }) => items);
          if (all.length === 0)
            return (
              <section className="card">
                <Empty title={isFiltered ? 'No GPU like that' : 'No GPU is on offer yet'}>
                  <p>
                    {isFiltered
                      ? 'Take a filter away, or write the model and the region as their owner did.'
                      : 'Whoever has one can offer it by the hour, under “Your offers”.'}
                  </p>
                </Empty>
              </section>
            );
          return (
            <>
              {as === 'table' ? (
                <Card>
                  <GpuTable gpus={all} />
                </Card>
              ) : (
                <Cards gpus={all} />
              )}
              <More query={gpus} />
            </>
          );
        }}
      </Answer>
    </>
  );
};
