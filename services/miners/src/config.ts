import { serviceConfig } from '@aitbc/chassis';
import type { z } from 'zod';

export const configShape = { ...serviceConfig };
export type Config = z.output<z.ZodObject<typeof configShape>>;
