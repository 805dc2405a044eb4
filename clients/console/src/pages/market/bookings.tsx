import type { Order } from '@aitbc/sdk';
import { Link } from '@tanstack/react-router';
import { amount, count } from '../../format.ts';
import { Answer, More } from '../../parts/answer.tsx';
import { Entries, Entry } from '../../parts/entries.tsx';
import { Badge, Card, Empty, useNow, When } from '../../parts/look.tsx';
import { useWho } from '../../queries.ts';
import { GiveBack } from './give-back.tsx';
import { isOpen, REASONS, stateOf, useMay, useOrders } from './orders.ts';

const Money = ({ order }: { order: Order }) =>
  order.paid === null ? (
    <>{amount(order.amount)} held</>
  ) : (
    <>
      {amount(order.paid)} paid
      {order.used_minutes === null ? null : ` for ${count(order.used_minutes)} min`}
      {order.refunded === null || order.refunded === 0 ? null : <>, {amount(order.refunded)} came back</>}
    </>
  );

/** One booking in a line or two, as its booker and its owner see it. */
export const Booking = ({ order }: { order: Order }) => {
  const now = useNow();
  const { data: who } = useWho();
  const isMine = who?.user_id === order.booker_id;
  const isOwner = who?.user_id === order.owner_id;
  const [state, tone] = stateOf(order, now);
  const canExtend = isMine && order.status === 'active';
  return (
    <Entry
      title={
        <Link to="/market/$gpuId" params={{ gpuId: order.gpu_id }}>
          {order.gpu_model}
        </Link>
      }
      state={<Badge state={state} tone={tone} />}
      actions={
        isOpen(order) && (isMine || isOwner) ? (
          <>
            {canExtend ? (
              <Link
                to="/market/$gpuId"
                params={{ gpuId: order.gpu_id }}
                search={{ from: order.end_time }}
                className="button"
                aria-label={`Extend: ${order.gpu_model}`}
              >
                Extend
              </Link>
            ) : null}
            <GiveBack order={order} byOwner={!isMine} />
          </>
        ) : undefined
      }
    >
      <p>
        {isMine ? null : isOwner ? 'Rented from you · ' : 'Of others · '}
        <When at={order.start_time} /> to <When at={order.ended_at ?? order.end_time} />
      </p>
      <p>
        {order.status === 'cancelled' ? null : (
          <>
            <Money order={order} /> ·{' '}
          </>
        )}
        {amount(order.price_per_hour)} an hour
        {order.reason === null ? null : ` · ${REASONS[order.reason] ?? order.reason}`}
      </p>
    </Entry>
  );
};

export const Bookings = () => {
  const orders = useOrders();
  const may = useMay();
  const { data: who } = useWho();
  if (who !== undefined && !may.client && !may.miner)
    return (
      <section className="card">
        <Empty title="This key sees no bookings">
          <p>Sign in with a key that may send jobs or mine, or with a wallet.</p>
        </Empty>
      </section>
    );
  return (
    <Card title="Your bookings">
      <Answer query={orders} lines={10}>
        {({ pages }) => {
          const all = pages.flatMap(({ items }) => items);
          return all.length === 0 ? (
            <Empty title="No booking yet">
              <p>What you book, and what others book of you, stands here.</p>
              <Link to="/market" className="button">
                Look for a GPU
              </Link>
            </Empty>
          ) : (
            <div className="stack">
              <Entries name="Bookings">
                {all.map((order) => (
                  <Booking key={order.id} order={order} />
                ))}
              </Entries>
              <More query={orders} />
            </div>
          );
        }}
      </Answer>
    </Card>
  );
};
