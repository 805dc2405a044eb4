import type { Input, RequestOptions, Transport } from '../http.ts';
import { listOf } from '../list.ts';

type Query<N extends 'market.list' | 'market.reviews' | 'market.orders'> = NonNullable<Input<N>['query']>;

/** GPUs by the hour. */
export const createGpus = (transport: Transport) => ({
  list: (query: Query<'market.list'> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) => transport.call('market.list', { query: page }, options)),
  get: (gpuId: string, call?: RequestOptions) =>
    transport.call('market.get', { params: { gpu_id: gpuId } }, call),
  /** What a model costs, and what to ask for it. */
  pricing: (model: string, call?: RequestOptions) =>
    transport.call('market.pricing', { params: { model } }, call),
  /** Rents a GPU; the whole price is held until the end. */
  book: (gpuId: string, body: Input<'market.book'>['body'], call?: RequestOptions) =>
    transport.call('market.book', { params: { gpu_id: gpuId }, body }, call),
  /** Ends a booking now: what was used is paid, the rest comes back. */
  release: (
    gpuId: string,
    query: NonNullable<Input<'market.release'>['query']> = {},
    call?: RequestOptions,
  ) => transport.call('market.release', { params: { gpu_id: gpuId }, query }, call),
  /** Offers a GPU of yours; takes a miner key. */
  offer: (body: Input<'market.register'>['body'], call?: RequestOptions) =>
    transport.call('market.register', { body }, call),
  change: (gpuId: string, body: Input<'market.change'>['body'], call?: RequestOptions) =>
    transport.call('market.change', { params: { gpu_id: gpuId }, body }, call),
  withdraw: (gpuId: string, call?: RequestOptions) =>
    transport.call('market.withdraw', { params: { gpu_id: gpuId } }, call),
  reviews: (gpuId: string, query: Query<'market.reviews'> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) =>
      transport.call('market.reviews', { params: { gpu_id: gpuId }, query: page }, options),
    ),
  review: (gpuId: string, body: Input<'market.review'>['body'], call?: RequestOptions) =>
    transport.call('market.review', { params: { gpu_id: gpuId }, body }, call),
  /** Own bookings, as booker or owner. */
  orders: (query: Query<'market.orders'> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) => transport.call('market.orders', { query: page }, options)),
  order: (orderId: string, call?: RequestOptions) =>
    transport.call('market.order', { params: { order_id: orderId } }, call),
});
export type Gpus = ReturnType<typeof createGpus>;
