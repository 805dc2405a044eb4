import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { DoorRequest, Tables } from '../tables.ts';

const db = builder<Tables>();

const find = hot((p: Params<Pick<DoorRequest, 'account_id' | 'name'>>) =>
  db
    .selectFrom('door_request')
    .selectAll()
    .where('account_id', '=', p('account_id'))
    .where('name', '=', p('name')),
);
export const findDoorRequest = (
  reader: Reader,
  account_id: string,
  name: string,
): Promise<DoorRequest | undefined> => reader.get(find, { account_id, name });

const remember = hot((p: Params<DoorRequest>) =>
  db
    .insertInto('door_request')
    .values({
      account_id: p('account_id'),
      name: p('name'),
      request_sha256: p('request_sha256'),
      job_id: p('job_id'),
      expires_at_ms: p('expires_at_ms'),
    })
    .onConflict((conflict) =>
      conflict.columns(['account_id', 'name']).doUpdateSet((eb) => ({
        request_sha256: eb.ref('excluded.request_sha256'),
        job_id: eb.ref('excluded.job_id'),
        expires_at_ms: eb.ref('excluded.expires_at_ms'),
      })),
    ),
);
/** In the place of what this name stood for before. */
export const rememberDoorRequest = async (trx: Trx, row: DoorRequest): Promise<void> => {
  await trx.run(remember, row);
};

const forget = hot((p: Params<Pick<DoorRequest, 'account_id' | 'name' | 'expires_at_ms'>>) =>
  db
    .deleteFrom('door_request')
    .where('account_id', '=', p('account_id'))
    .where('name', '=', p('name'))
    .where('expires_at_ms', '=', p('expires_at_ms')),
);
type OldDoorRequest = Pick<DoorRequest, 'account_id' | 'name' | 'expires_at_ms'>;
export const doorRequestsDue = (reader: Reader, nowMs: number, limit: number): Promise<OldDoorRequest[]> =>
  reader.all(
    db
      .selectFrom('door_request')
      .select(['account_id', 'name', 'expires_at_ms'])
      .where('expires_at_ms', '<=', nowMs)
      .orderBy('expires_at_ms')
      .limit(limit),
  );
/** All but those whose name stands for another request meanwhile. */
export const dropDoorRequests = async (trx: Trx, old: readonly OldDoorRequest[]): Promise<void> => {
  for (const row of old) await trx.run(forget, row);
};
