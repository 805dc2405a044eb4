import { type Destination, type MessageName, messages, type Payload, type SentBy } from '@aitbc/contracts';
import { clock } from '../clock.ts';
import type { Trx } from '../store/index.ts';
import { added, statementsFor } from './statements.ts';

/**
 * `const send = sendAs<'jobs'>()`: writes a message into the outbox, in the transaction of the change it tells of.
 * Sending a message that another owns does not compile.
 * @throws ZodError when the payload breaks its schema: the transaction is undone.
 */
export const sendAs =
  <S extends Destination>() =>
  async <N extends SentBy<S>>(trx: Trx, name: N, payload: Payload<N>): Promise<void> => {
    const message = messages[name as MessageName];
    const parsed = message.schema.parse(payload);
    const text = JSON.stringify(parsed);
    const lingers = message.lingers?.(parsed as never) ?? false;
    const { stream } = trx;
    const { insert, newest } = statementsFor(trx.isShared);
    for (const destination of message.to) {
      const key = `outbox:${destination}`;
      const last = trx.counters.get(key) ?? (await trx.get(newest, { stream, destination }))?.seq ?? 0;
      await trx.run(insert, {
        stream,
        destination,
        seq: last + 1,
        name,
        version: message.version,
        payload: text,
        created_at_ms: clock.nowMs(),
      });
      trx.counters.set(key, last + 1);
      trx.notify(added(destination, lingers));
    }
  };
