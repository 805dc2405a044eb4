import type { Handlers, Store } from '@aitbc/chassis';
import type { routes } from '@aitbc/contracts';
import type { Deps } from '../commands/resolve.ts';
import type { Exchange } from '../exchange/index.ts';
import type { Signer } from '../signing.ts';
import { createAccountHandlers } from './accounts.ts';
import { createExplorerHandlers } from './explorer.ts';
import { createLegacyHandlers } from './legacy.ts';
import { createPaymentHandlers } from './payments.ts';
import { createTransferHandlers } from './transfers.ts';

export const createHandlers = (
  store: Store,
  deps: Deps,
  signer: Signer,
  exchange: Exchange,
): Handlers<typeof routes.payments> => {
  const explorer = createExplorerHandlers(store);
  return {
    ...createPaymentHandlers(store, deps, signer),
    ...createAccountHandlers(store, deps),
    ...explorer,
    ...createLegacyHandlers(explorer),
    ...createTransferHandlers(store, deps),
    ...exchange.handlers,
  };
};
