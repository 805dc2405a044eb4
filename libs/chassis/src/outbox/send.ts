import { type Destination, type MessageName, messages, type Payload, type SentBy } from '@aitbc/contracts';
import { clock } from '../clock.ts';
import type { Trx } from '../store/index.ts';
import { added, BATCH_MAX, BATCH_MAX_BYTES, insertRows, type NewRow, statementsFor } from './statements.ts';

interface Said {
  readonly to: readonly Destination[];
  readonly lingers: boolean;
  /** All of it but the number, which comes in front. */
  readonly line: string;
}

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
    trx.gather(write, {
      to: message.to,
      lingers: message.lingers?.(parsed as never) ?? false,
      // JSON has no line break outside of a text, and writes one inside of it as two signs.
      line: `"name":"${name}","version":${message.version},"payload":${JSON.stringify(parsed)}}`,
    });
  };

/** So many bytes, or so many messages, fit into one row: no more than a queue entry takes. */
const inRows = (lines: readonly string[]): string[][] => {
  const rows: string[][] = [];
  let bytes = 0;
  for (const line of lines) {
    const row = rows.at(-1);
    if (row === undefined || row.length === BATCH_MAX || bytes + line.length > BATCH_MAX_BYTES) {
      rows.push([line]);
      bytes = line.length;
    } else {
      row.push(line);
      bytes += line.length;
    }
  }
  return rows;
};

/** All that a commit says is one row a destination, and one statement. */
const write = async (trx: Trx, all: readonly Said[]): Promise<void> => {
  const destinations = [...new Set(all.flatMap(({ to }) => to))];
  const rows: NewRow[][] = [];
  for (const destination of destinations) {
    const said = all.filter(({ to }) => to.includes(destination));
    for (const [turn, lines] of inRows(said.map(({ line }) => line)).entries()) {
      rows[turn] ??= [];
      rows[turn].push({ destination, count: lines.length, messages: lines.join('\n'), last: 0 });
    }
    trx.notify(
      added(
        destination,
        said.every(({ lingers }) => lingers),
      ),
    );
  }
  // A destination once a statement: each looks up the number before it.
  for (const turn of rows) {
    if (trx.isShared) await number(trx, turn);
    await trx.run(insertRows(trx.isShared, turn.length), {
      stream: trx.stream,
      rows: turn,
      created_at_ms: clock.nowMs(),
    });
  }
};

/** Where the store is shared the last numbers are known from one transaction to the next: looking again would be a conflict. */
const number = async (trx: Trx, rows: NewRow[]): Promise<void> => {
  const { stream } = trx;
  for (const row of rows) {
    const { destination } = row;
    const key = `outbox:${destination}`;
    const before =
      trx.counters.get(key) ?? (await trx.get(statementsFor(true).newest, { stream, destination }))?.seq ?? 0;
    row.last = before + row.count;
    trx.counters.set(key, row.last);
  }
};
