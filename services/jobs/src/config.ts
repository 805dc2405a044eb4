import { KeepDays, KeepJobsDays, ObjectsUrl, serviceConfig } from '@aitbc/chassis';
import { z } from 'zod';

export const configShape = {
  ...serviceConfig,
  /** Parameters, results and what miners said, after the end of a job. Accounts may ask for less. */
  KEEP_CONTENT_DAYS: KeepDays.default(30),
  /** Jobs and their events, after the end. The proof of a receipt is kept for ever. */
  KEEP_JOBS_DAYS: KeepJobsDays,
  /** Where jobs go before they leave: file:///FOLDER or s3://BUCKET/PREFIX?region=…&endpoint=…. Without it they just leave. */
  ARCHIVE_URL: ObjectsUrl.optional(),
  AWS_ACCESS_KEY_ID: z.string().optional(),
  AWS_SECRET_ACCESS_KEY: z.string().optional(),
  AWS_SESSION_TOKEN: z.string().optional(),
  RECEIPT_SIGNING_KEY: z.base64().optional().meta({
    description:
      'Ed25519 private key that signs receipts, base64 of PKCS8 DER. Needed in production; elsewhere one is made and kept',
  }),
};
export type Config = z.output<z.ZodObject<typeof configShape>>;
