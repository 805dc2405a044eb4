import { KeepJobsDays, serviceConfig } from '@aitbc/chassis';
import { z } from 'zod';
import { exchangeConfig } from './exchange/config.ts';

export const configShape = {
  ...serviceConfig,
  ...exchangeConfig,
  /** What is known of jobs that nobody paid for goes with them. */
  KEEP_JOBS_DAYS: KeepJobsDays,
  LEDGER_SIGNING_KEY: z.string().min(1).optional().meta({
    description:
      'Signs blocks and payment statements: an Ed25519 private key, PKCS #8 DER in base64 (openssl genpkey -algorithm ed25519 -outform DER | base64 -w0). Required in production; made and kept in the payments database otherwise',
  }),
};
export type Config = z.output<z.ZodObject<typeof configShape>>;
