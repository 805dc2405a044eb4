import type { Reply } from '@aitbc/sdk';
import { lazy, Suspense, useMemo } from 'react';
import { amount, count, localTime, percent } from '../../format.ts';
import { Card, Facts, Skeleton } from '../../parts/look.tsx';

const TimeSteps = lazy(async () => ({ default: (await import('../../parts/chart.tsx')).TimeSteps }));

type Gpu = Reply<'market.get'>;
export type Pricing = Reply<'market.pricing'>;

const times = (factor: number): string => `× ${factor.toFixed(2)}`;

/** The price of one GPU over time, newest at the right, and how the last step came about. */
export const Prices = ({ gpu }: { gpu: Gpu }) => {
  const { price_history: history, price_factors: factors } = gpu;
  const line = useMemo(() => {
    const known = [...history].reverse();
    const at = known.map((each) => Date.parse(each.at) / 1_000);
    // The last price holds to this day.
    return {
      at: [...at, Math.max(Date.now() / 1_000, (at.at(-1) ?? 0) + 1)],
      values: [...known.map((each) => each.price_per_hour), gpu.price_per_hour],
    };
  }, [history, gpu.price_per_hour]);
  const oldest = history.at(-1);
  return (
    <Card title="Price">
      <div className="stack">
        <div style={{ minHeight: 180 }}>
          <Suspense fallback={<Skeleton />}>
            <TimeSteps
              at={line.at}
              values={line.values}
              name="AITBC an hour"
              says={
                oldest === undefined
                  ? `The price is ${amount(gpu.price_per_hour)} an hour.`
                  : `The price since ${localTime(oldest.at)}: from ${amount(oldest.price_per_hour)} to ${amount(gpu.price_per_hour)} an hour.`
              }
            />
          </Suspense>
        </div>
        {factors === null ? (
          <p className="muted">
            {gpu.pricing === 'fixed'
              ? 'Its owner sets the price; nothing else moves it.'
              : 'The price moves by itself; its first step comes within ten minutes.'}
          </p>
        ) : (
          <>
            <p className="muted">
              The price moves by itself, every ten minutes and by a tenth at most. The last step:
            </p>
            <Facts
              facts={[
                ['Asked by its owner', amount(factors.base_price)],
                [
                  'Demand',
                  `${times(factors.demand_factor)} · ${percent(factors.utilization_24h)} of the last day was booked`,
                ],
                [
                  'Competition',
                  `${times(factors.competition_factor)} · ${count(factors.competing_available)} of ${count(factors.competing_offers)} others are free`,
                ],
                ['Aims at', `${amount(factors.target_price)} (${times(factors.multiplier)})`],
                ['May step to', `${amount(factors.step_min)} to ${amount(factors.step_max)}`],
                ['Became', <strong key="price">{amount(factors.price)}</strong>],
              ]}
            />
          </>
        )}
      </div>
    </Card>
  );
};

/** What all offers of a model cost. */
export const ModelPrices = ({ pricing }: { pricing: Pricing }) => (
  <Card title="All of this model">
    <Facts
      facts={[
        ['Cheapest', amount(pricing.min_price)],
        ['In the middle', amount(pricing.median_price)],
        ['On average', amount(pricing.average_price)],
        ['Dearest', amount(pricing.max_price)],
        ['Free', `${count(pricing.available)} of ${count(pricing.total)}`],
        ['Booked', `${percent(pricing.utilization_24h)} of the last day`],
      ]}
    />
  </Card>
);
