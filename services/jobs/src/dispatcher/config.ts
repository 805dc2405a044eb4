import { commonConfig, serviceConfig } from '@aitbc/chassis';
import type { z } from 'zod';

export const dispatcherConfigShape = { ...commonConfig, HOST: serviceConfig.HOST, PORT: serviceConfig.PORT };
export type DispatcherConfig = z.output<z.ZodObject<typeof dispatcherConfigShape>>;
