import type { Handlers, Store } from '@aitbc/chassis';
import type { paymentsRoutes } from '@aitbc/contracts';
import type { Deps } from '../commands/resolve.ts';
import type { Exchange } from '../exchange/index.ts';
import type { Signer } from '../signing.ts';
import { createAccountHandlers } from './accounts.ts';
import { createExplorerHandlers } from './explorer.ts';
import { createPaymentHandlers } from './payments.ts';
import { createTransferHandlers } from './transfers.ts';

export const createHandlers = (
  store: Store,
  deps: Deps,
  signer: Signer,
  exchange: Exchange,
): Handlers<typeof paymentsRoutes> => ({
  ...createPaymentHandlers(store, deps, signer),
  ...createAccountHandlers(store, deps),
  ...createExplorerHandlers(store),
  ...createTransferHandlers(store, deps),
  ...exchange.handlers,
});
