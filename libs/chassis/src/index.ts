export * from './archive/index.ts';
export * from './audit.ts';
export * from './backup.ts';
export * from './caller.ts';
export { clock } from './clock.ts';
export * from './config.ts';
export * from './continuous/index.ts';
export { deleteMany } from './delete-many.ts';
export * from './envelope.ts';
export * from './failpoint.ts';
export { firstOfEach } from './first-of-each.ts';
export * from './health.ts';
export * from './http.ts';
export type { Abridged } from './idempotency.ts';
export * from './inbox/index.ts';
export { insertMany } from './insert-many.ts';
export * from './lifecycle.ts';
export * from './listen.ts';
export * from './listeners.ts';
export * from './log.ts';
export * from './mailbox.ts';
export * from './metrics.ts';
export * from './migrations/index.ts';
export * from './move/index.ts';
export * from './objects/index.ts';
export * from './occasionally.ts';
export * from './operations.ts';
export * from './outbox/index.ts';
export * from './page.ts';
export * from './parameters.ts';
export * from './problems.ts';
export { createPurge, type Drop, type Purge, schedulePurge } from './purge.ts';
export * from './queue.ts';
export * from './redis/index.ts';
export * from './service.ts';
export { createShare } from './shares.ts';
export { createSmallSteps } from './small-steps.ts';
export { builder, type Hot, hot, type Params } from './sql.ts';
export {
  blanked,
  equalsIgnoringCase,
  fieldOf,
  insertRows,
  listOf,
  rowsJson,
  rowsOf,
  unindexed,
} from './store/dialect.ts';
export * from './store/index.ts';
export * from './ticker.ts';
export * from './tls.ts';
export * from './wait.ts';
export * from './worker.ts';
