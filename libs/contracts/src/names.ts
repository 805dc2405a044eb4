/** The services with an inbox and a file of their own, in start order. */
export const SERVICES = ['jobs', 'miners', 'market', 'payments', 'governance', 'gateway'] as const;
export type ServiceName = (typeof SERVICES)[number];

/** Workers that have no file: any number of them compete for what is in their mailbox. */
export const WORKERS = ['dispatcher', 'webhooks'] as const;

/** Everything a message can be addressed to. */
export type Destination = ServiceName | (typeof WORKERS)[number];

/**
 * The one mailbox of a destination, which all of its processes empty side by side.
 * @param place the mailbox of the one process that holds this place, beside it: for hints that it alone can use
 */
export const inboxQueue = (destination: Destination, place?: number): string =>
  place === undefined ? `${destination}-inbox` : `${destination}-inbox-${place}`;
