import type { Reply } from '@aitbc/sdk';
import { useMutation } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useRef, useState } from 'react';
import { amount } from '../../format.ts';
import { Failure } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { Card, Facts, useNow, When } from '../../parts/look.tsx';
import { useBalance } from '../../queries.ts';
import { api, useCredential } from '../../session.ts';
import type { Taken } from './calendar.tsx';
import { costOf, toMinutes } from './cost.ts';
import { useMarketRefresh, useMay } from './orders.ts';

type Gpu = Reply<'market.get'>;

const HOURS_MAX = 720;
const MINUTE_MS = 60_000;

/** As a field of the browser has it: local, to the minute. */
const toField = (ms: number): string => {
  const at = new Date(ms - new Date(ms).getTimezoneOffset() * MINUTE_MS);
  return at.toISOString().slice(0, 16);
};

/** Hours of a GPU, with what they cost before anything is sent. An extension is a booking that begins where one's own ends. */
export const Book = ({
  gpu,
  taken,
  from,
}: {
  gpu: Gpu;
  taken: readonly Taken[];
  from?: string | undefined;
}) => {
  const credential = useCredential();
  const may = useMay();
  const refresh = useMarketRefresh();
  const balance = useBalance();
  const now = useNow();
  const [hours, setHours] = useState('1');
  const [later, setLater] = useState('');
  // One for each wish: pressed again after a cut connection, it is booked once.
  const key = useRef(crypto.randomUUID());
  const change = (set: (text: string) => void) => (text: string) => {
    key.current = crypto.randomUUID();
    set(text);
  };
  const minutes = toMinutes(Number(hours));
  const isLength = minutes >= 1 && Number(hours) <= HOURS_MAX;
  const startTime = from ?? (later === '' ? undefined : new Date(later).toISOString());
  const start = startTime === undefined ? now : Date.parse(startTime);
  const end = start + (isLength ? minutes * MINUTE_MS : 0);
  const cost = isLength ? costOf(gpu.price_per_hour, minutes) : undefined;
  const inTheWay = taken.find((window) => window.start < end && window.end > start);
  const isTooDear = cost !== undefined && balance.data !== undefined && balance.data.available < cost;
  const action = from === undefined ? 'Book' : 'Extend';
  const book = useMutation({
    mutationFn: () =>
      api().gpus.book(
        gpu.id,
        {
          duration_hours: Number(hours),
          ...(startTime === undefined ? {} : { start_time: startTime }),
          // What is shown is the most that it costs, also if the price moves meanwhile.
          max_price_per_hour: gpu.price_per_hour,
        },
        { idempotencyKey: key.current },
      ),
    onSuccess: () => {
      key.current = crypto.randomUUID();
    },
    onSettled: refresh,
  });
  const isThere = gpu.available || gpu.booked;
  return (
    <Card title={from === undefined ? 'Book it' : 'Extend your booking'}>
      <div className="stack">
        <div className="grid">
          <label className="field">
            <span>Hours</span>
            <input
              type="number"
              min="0.02"
              max={HOURS_MAX}
              step="any"
              value={hours}
              onChange={({ target }) => change(setHours)(target.value)}
            />
            <small>Counted in whole minutes.</small>
          </label>
          {from === undefined ? (
            <label className="field">
              <span>From</span>
              <input
                type="datetime-local"
                min={toField(Date.now())}
                value={later}
                onChange={({ target }) => change(setLater)(target.value)}
              />
              <small>Empty: from now. At most 30 days ahead.</small>
            </label>
          ) : null}
        </div>
        <Facts
          facts={[
            ['Costs', <strong key="cost">{cost === undefined ? '–' : amount(cost)}</strong>],
            ['An hour', amount(gpu.price_per_hour)],
            from === undefined ? null : ['From', <When key="from" at={from} />],
            ['Until', isLength ? <When key="until" at={new Date(end).toISOString()} /> : '–'],
          ]}
        />
        {from === undefined ? null : (
          <p className="small muted">
            It is a booking of its own, at the price of now, that begins where yours ends.{' '}
            <Link to="/market/$gpuId" params={{ gpuId: gpu.id }}>
              Book another time instead
            </Link>
          </p>
        )}
        {inTheWay === undefined ? null : (
          <p className="alert" data-tone="warn" role="status">
            Then it is taken, until <When at={new Date(inTheWay.end).toISOString()} />.
          </p>
        )}
        {isTooDear ? (
          <p className="alert" data-tone="warn" role="status">
            You can spend {amount(balance.data?.available ?? 0)}. <Link to="/wallet">Buy tokens</Link>
          </p>
        ) : null}
        {book.error === null ? null : <Failure error={book.error} />}
        {book.data === undefined ? null : (
          <p className="alert" data-tone="good" role="status">
            Booked: {amount(book.data.amount)} are held.
          </p>
        )}
        <div className="row">
          {credential === null ? (
            <Link to="/sign-in" search={{ to: `/market/${gpu.id}` }} className="button" data-kind="main">
              Sign in to book it
            </Link>
          ) : !may.client ? (
            <p className="small muted">This key may not book.</p>
          ) : !isThere ? (
            <p className="small muted">It cannot be booked now: its owner or its machine is away.</p>
          ) : cost === undefined || inTheWay !== undefined ? (
            <p className="small muted">Say for how long, at a time that is free.</p>
          ) : (
            <Confirm
              action={action}
              kind="plain"
              title={`${action} for ${amount(cost)}?`}
              isBusy={book.isPending}
              onConfirm={() => book.mutate()}
            >
              {amount(cost)} are held until the end, and then paid to its owner. Give it back earlier, and
              what you did not use comes back, to the minute.
            </Confirm>
          )}
        </div>
      </div>
    </Card>
  );
};
