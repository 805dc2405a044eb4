import type { Order } from '@aitbc/sdk';
import { useMutation } from '@tanstack/react-query';
import { useRef } from 'react';
import { amount, count } from '../../format.ts';
import { Failure } from '../../parts/answer.tsx';
import { Confirm } from '../../parts/confirm.tsx';
import { useNow } from '../../parts/look.tsx';
import { api } from '../../session.ts';
import { costOf, returnOf } from './cost.ts';
import { useMarketRefresh } from './orders.ts';

const minutes = (many: number): string => `${count(many)} ${many === 1 ? 'minute' : 'minutes'}`;

/** What it comes to as things stand; it changes by itself while one reads. */
const Now = ({ order, byOwner }: { order: Order; byOwner: boolean }) => {
  const { minutes: used, paid, back } = returnOf(order, byOwner, useNow());
  const each = amount(costOf(order.price_per_hour, 1));
  return byOwner ? (
    <>
      You get {amount(paid)} for {minutes(used)}, less the fee; {amount(back)} go back to who booked it. That
      you broke it off is counted and shown with all your offers.
    </>
  ) : used === 0 ? (
    <>Its time has not begun: all of it comes back, {amount(back)}.</>
  ) : (
    <>
      You pay {amount(paid)} for {minutes(used)}, and {amount(back)} come back. Each further minute that
      begins costs {each}; what counts is the coordinator’s clock.
    </>
  );
};

/** Ends a booking now. What was used is paid, and the rest comes back. */
export const GiveBack = ({ order, byOwner }: { order: Order; byOwner: boolean }) => {
  const refresh = useMarketRefresh();
  const key = useRef(crypto.randomUUID());
  const release = useMutation({
    mutationFn: () =>
      api().gpus.release(order.gpu_id, { order_id: order.id }, { idempotencyKey: key.current }),
    onSettled: refresh,
  });
  const action = byOwner ? 'Take back' : 'Give back';
  return (
    <>
      <Confirm
        action={action}
        about={order.gpu_model}
        title={`${action} ${order.gpu_model}?`}
        isBusy={release.isPending}
        onConfirm={() => release.mutate()}
      >
        <Now order={order} byOwner={byOwner} />
      </Confirm>
      {release.error === null ? null : <Failure error={release.error} />}
    </>
  );
};
