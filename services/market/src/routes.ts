import type { Handlers } from '@aitbc/chassis';
import type { marketRoutes } from '@aitbc/contracts';

export const createHandlers = (): Handlers<typeof marketRoutes> => ({});
