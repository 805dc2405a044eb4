import type { Order, Review } from '@aitbc/sdk';
import {
  type UseInfiniteQueryResult,
  useInfiniteQuery,
  useMutation,
  useQueryClient,
} from '@tanstack/react-query';
import { useState } from 'react';
import { Answer, Failure, More } from '../../parts/answer.tsx';
import { Entries, Entry } from '../../parts/entries.tsx';
import { Card, Empty, Id, When } from '../../parts/look.tsx';
import { api } from '../../session.ts';
import { useMarketRefresh } from './orders.ts';

const PAGE = 50;
const COMMENT_MAX = 1_000;
const STARS = [
  [5, 'very good'],
  [4, 'good'],
  [3, 'middling'],
  [2, 'poor'],
  [1, 'bad'],
] as const;

export const useReviews = (gpuId: string) =>
  useInfiniteQuery({
    queryKey: ['reviews', gpuId],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().gpus.reviews(gpuId, { limit: PAGE, cursor: pageParam }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
  });

/** The newest booking that ran, is over and has no review among those that are known here. */
export const toReview = (
  orders: readonly Order[],
  reviews: readonly Review[],
  gpuId: string,
  me: string | undefined,
): Order | undefined =>
  orders.find(
    (order) =>
      order.gpu_id === gpuId &&
      order.booker_id === me &&
      order.owner_id !== me &&
      (order.status === 'ended' || order.status === 'settled') &&
      order.ended_at !== null &&
      Date.parse(order.ended_at) >= Date.parse(order.start_time) &&
      !reviews.some(({ order_id }) => order_id === order.id),
  );

const Write = ({ order }: { order: Order }) => {
  const queries = useQueryClient();
  const refresh = useMarketRefresh();
  const [rating, setRating] = useState(5);
  const [comment, setComment] = useState('');
  const review = useMutation({
    mutationFn: () =>
      api().gpus.review(order.gpu_id, {
        rating,
        order_id: order.id,
        ...(comment.trim() === '' ? {} : { comment: comment.trim() }),
      }),
    onSettled: () => Promise.all([queries.invalidateQueries({ queryKey: ['reviews'] }), refresh()]),
  });
  return (
    <form
      className="stack maker"
      onSubmit={(event) => {
        event.preventDefault();
        review.mutate();
      }}
    >
      <p className="small muted">
        You had it until <When at={order.ended_at ?? order.end_time} />. Everybody reads what you write; it
        counts by what you paid.
      </p>
      <label className="field">
        <span>How was it</span>
        <select value={rating} onChange={({ target }) => setRating(Number(target.value))}>
          {STARS.map(([stars, says]) => (
            <option key={stars} value={stars}>
              {stars} of 5, {says}
            </option>
          ))}
        </select>
      </label>
      <label className="field">
        <span>In words, if you like</span>
        <textarea
          maxLength={COMMENT_MAX}
          value={comment}
          onChange={({ target }) => setComment(target.value)}
        />
      </label>
      {review.error === null ? null : <Failure error={review.error} />}
      <div className="row">
        <button type="submit" className="button" data-kind="main" disabled={review.isPending}>
          Review it
        </button>
      </div>
    </form>
  );
};

export const Reviews = ({
  query,
  order,
}: {
  query: ReturnType<typeof useReviews>;
  order: Order | undefined;
}) => (
  <Card title="Reviews">
    <div className="stack">
      {order === undefined ? null : <Write key={order.id} order={order} />}
      <Answer query={query}>
        {({ pages }) => {
          const all = pages.flatMap(({ items }) => items);
          return all.length === 0 ? (
            <Empty title="No review yet">
              <p>Who has had it can say how it was, once for each booking.</p>
            </Empty>
          ) : (
            <>
              <Entries name="Reviews">
                {all.map((review) => (
                  <Entry
                    key={review.id}
                    title={
                      <>
                        <span aria-hidden="true">
                          {'★'.repeat(review.rating)}
                          {'☆'.repeat(5 - review.rating)}
                        </span>
                        <span className="hidden">{review.rating} of 5</span>
                      </>
                    }
                    rest={review.comment === null ? undefined : <p className="wrap">{review.comment}</p>}
                  >
                    account <Id id={review.reviewer_id} /> · <When at={review.created_at} />
                  </Entry>
                ))}
              </Entries>
              <More query={query as UseInfiniteQueryResult} />
            </>
          );
        }}
      </Answer>
    </div>
  </Card>
);
