import { commonConfig, serviceConfig } from '@aitbc/chassis';
import type { z } from 'zod';

const { HOST, PORT, TLS_CERT, TLS_KEY, TLS_CLIENT_CA } = serviceConfig;
export const dispatcherConfigShape = { ...commonConfig, HOST, PORT, TLS_CERT, TLS_KEY, TLS_CLIENT_CA };
export type DispatcherConfig = z.output<z.ZodObject<typeof dispatcherConfigShape>>;
