import type { Handlers } from '@aitbc/chassis';
import type { governanceRoutes } from '@aitbc/contracts';

export const createHandlers = (): Handlers<typeof governanceRoutes> => ({});
