import type { Handlers } from '@aitbc/chassis';
import type { minersRoutes } from '@aitbc/contracts';

export const createHandlers = (): Handlers<typeof minersRoutes> => ({});
