import { KeepDays, KeepJobsDays, serviceConfig } from '@aitbc/chassis';
import { z } from 'zod';

export const configShape = {
  ...serviceConfig,
  /** Parameters, results and what miners said, after the end of a job. Accounts may ask for less. */
  KEEP_CONTENT_DAYS: KeepDays.default(30),
  /** Jobs and their events, after the end. The proof of a receipt is kept for ever. */
  KEEP_JOBS_DAYS: KeepJobsDays,
  RECEIPT_SIGNING_KEY: z.base64().optional().meta({
    description:
      'Ed25519 private key that signs receipts, base64 of PKCS8 DER. Needed in production; elsewhere one is made and kept',
  }),
};
export type Config = z.output<z.ZodObject<typeof configShape>>;
