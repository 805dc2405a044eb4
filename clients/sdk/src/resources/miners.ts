import type { Input, RequestOptions, Transport } from '../http.ts';
import { listOf } from '../list.ts';

/** Who works; what an agent itself calls is in `client.call`. */
export const createMiners = (transport: Transport) => ({
  /** All miners, as anyone may see them. */
  list: (query: NonNullable<Input<'miners.list'>['query']> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) => transport.call('miners.list', { query: page }, options)),
  /** Own miners, with earnings and why there is no work; takes a miner key. */
  mine: (query: NonNullable<Input<'miners.me'>['query']> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) => transport.call('miners.me', { query: page }, options)),
});
export type Miners = ReturnType<typeof createMiners>;
