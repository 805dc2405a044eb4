import { serviceConfig } from '@aitbc/chassis';
import { z } from 'zod';

export const configShape = {
  ...serviceConfig,
  RECEIPT_SIGNING_KEY: z.base64().optional().meta({
    description:
      'Ed25519 private key that signs receipts, base64 of PKCS8 DER. Needed in production; elsewhere one is made and kept',
  }),
};
export type Config = z.output<z.ZodObject<typeof configShape>>;
