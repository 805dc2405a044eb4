import { toTimestamp } from '@aitbc/contracts';
import type { DeliveryTable, WebhookTable } from '../tables.ts';
import { BODY_BYTES_MAX } from './call.ts';

/** The result of a completed job of this account; undefined when there is none any more. @throws when jobs does not answer */
export type FindResult = (accountId: string, jobId: string) => Promise<unknown>;

/** What a delivery says to its receiver, the same for each try as long as the result is there. */
export const bodyOf = async (
  delivery: DeliveryTable,
  webhook: WebhookTable,
  findResult: FindResult,
): Promise<string> => {
  const write = (more: object): string =>
    JSON.stringify({
      type: delivery.type,
      timestamp: toTimestamp(delivery.at_ms),
      data: { ...(JSON.parse(delivery.data) as object), ...more },
    });
  if (webhook.include_result === 0 || delivery.type !== 'job.completed') return write({});
  const result = await findResult(webhook.account_id, delivery.object_id);
  if (result === undefined) return write({ result_omitted: 'not_there' });
  const whole = write({ result });
  return Buffer.byteLength(whole) <= BODY_BYTES_MAX ? whole : write({ result_omitted: 'too_large' });
};
