import type { Handlers } from '@aitbc/chassis';
import type { paymentsRoutes } from '@aitbc/contracts';

export const createHandlers = (): Handlers<typeof paymentsRoutes> => ({});
