import type { z } from 'zod';
import type { Destination } from '../names.ts';
import { auditMessages } from './audit.ts';
import { dispatchMessages } from './dispatch.ts';
import { gatewayMessages } from './gateway.ts';
import { governanceMessages } from './governance.ts';
import { jobsMessages } from './jobs.ts';
import { marketMessages } from './market.ts';
import { minersMessages } from './miners.ts';
import { paymentsMessages } from './payments.ts';
import { webhookMessages } from './webhooks.ts';

export { PAYMENTS_MISSED_MAX } from './jobs.ts';
export { FIRST_BLOCK_HEIGHT } from './payments.ts';
export { LISTENERS_TOLD_MAX } from './webhooks.ts';

/** The one catalogue: everything the services say to each other. */
export const messages = {
  ...jobsMessages,
  ...dispatchMessages,
  ...minersMessages,
  ...paymentsMessages,
  ...marketMessages,
  ...governanceMessages,
  ...gatewayMessages,
  ...webhookMessages,
  ...auditMessages,
} as const;

export type Messages = typeof messages;
export type MessageName = keyof Messages;
export type Payload<N extends MessageName> = z.output<Messages[N]['schema']>;

/** The messages that `S` owns: sending another's does not compile. */
export type SentBy<S extends Destination> = {
  [N in MessageName]: Messages[N]['from'] extends S ? N : never;
}[MessageName];

/** The messages addressed to `D`: a missing consumer does not compile. */
export type ReceivedBy<D extends Destination> = {
  [N in MessageName]: D extends Messages[N]['to'][number] ? N : never;
}[MessageName];
