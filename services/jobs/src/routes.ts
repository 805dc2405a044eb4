import type { Handlers } from '@aitbc/chassis';
import type { jobsRoutes } from '@aitbc/contracts';

export const createHandlers = (): Handlers<typeof jobsRoutes> => ({});
