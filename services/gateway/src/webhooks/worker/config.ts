import { commonConfig, serviceConfig } from '@aitbc/chassis';
import { z } from 'zod';

const { HOST, PORT, TLS_CERT, TLS_KEY, TLS_CLIENT_CA } = serviceConfig;

/** A call that hangs is a socket and some 50 KB for 10 s. */
export const callsAtOnce = z.coerce.number().int().min(10).max(10_000).default(500);

export const webhookWorkerConfigShape = {
  ...commonConfig,
  HOST,
  PORT,
  TLS_CERT,
  TLS_KEY,
  TLS_CLIENT_CA,
  /** What one worker has in hand; the gateway hands out no more than as many over all. */
  WEBHOOK_CALLS_AT_ONCE: callsAtOnce,
};
export type WebhookWorkerConfig = z.output<z.ZodObject<typeof webhookWorkerConfigShape>>;
