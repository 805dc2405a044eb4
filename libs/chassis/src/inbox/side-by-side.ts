import type { ChassisTables } from '../migrations/index.ts';
import { builder, type Hot, hot, type Params } from '../sql.ts';
import type { Store, Trx } from '../store/index.ts';
import type { ReceiveEach } from './batch.ts';
import { findStream } from './in-order.ts';

/** Rows of one stream looked through in one go: twice what its sender has under way at most. */
const LOOK_MAX = 10_000;

const db = builder<ChassisTables>();

/**
 * Notes numbers as heard, and answers with those that were not yet. It reads nothing that SERIALIZABLE watches: what two
 * processes note side by side is no conflict, unless it is the same number.
 */
const note: Hot<{ stream: string; seqs: number[] }, { seq: number }> = {
  sql: 'INSERT INTO inbox_ahead (stream, seq) SELECT $1, unnest($2::bigint[]) ON CONFLICT DO NOTHING RETURNING seq',
  bind: ({ stream, seqs }) => [stream, seqs],
};
const advance = hot((p: Params<{ stream: string; watermark: number; highest: number }>) =>
  db
    .insertInto('inbox_stream')
    .values({ stream: p('stream'), watermark: p('watermark'), highest: p('highest') })
    .onConflict((conflict) =>
      conflict
        .column('stream')
        .doUpdateSet({ watermark: p('watermark'), highest: p('highest') })
        .where('inbox_stream.watermark', '<=', p('watermark')),
    ),
);
const forget = hot((p: Params<{ stream: string; watermark: number }>) =>
  db.deleteFrom('inbox_ahead').where('stream', '=', p('stream')).where('seq', '<=', p('watermark')),
);
const ahead = hot((p: Params<{ stream: string; watermark: number }>) =>
  db
    .selectFrom('inbox_ahead')
    .select('seq')
    .where('stream', '=', p('stream'))
    .where('seq', '>', p('watermark'))
    .orderBy('seq')
    .limit(LOOK_MAX),
);
const farthest = hot((p: Params<{ stream: string }>) =>
  db
    .selectFrom('inbox_ahead')
    .select('seq')
    .where('stream', '=', p('stream'))
    .orderBy('seq', 'desc')
    .limit(1),
);
const lowest = hot((p: Params<{ stream: string }>) =>
  db.selectFrom('inbox_ahead').select('seq').where('stream', '=', p('stream')).orderBy('seq').limit(1),
);
/** The next stream that has rows: one look into the index each, however many rows there are. */
const nextStream = hot((p: Params<{ stream: string }>) =>
  db.selectFrom('inbox_ahead').select('stream').where('stream', '>', p('stream')).orderBy('stream').limit(1),
);

/**
 * Several processes empty the mailbox: each number has a row until {@link compact} moves the watermark. Were the
 * watermark moved with each batch, two batches of a stream would always be a conflict.
 */
export const receiveSideBySide: ReceiveEach = async (trx, batch, each, tell) => {
  const { stream } = batch;
  let watermark = (await trx.get(findStream, { stream }))?.watermark ?? 0;
  const missedUntil = (batch.floor ?? 0) - 1;
  if (missedUntil > watermark) {
    tell.missed({ stream, from: watermark + 1, to: missedUntil });
    watermark = missedUntil;
    await save(trx, { stream, watermark, highest: watermark });
  }
  const seqs = batch.messages.flatMap(({ seq }) => (seq !== null && seq > watermark ? [seq] : []));
  const fresh = new Set(
    seqs.length === 0 ? [] : (await trx.all(note, { stream, seqs })).map(({ seq }) => seq),
  );
  for (const message of batch.messages) {
    // Deleted as well: within a batch a number counts once, too.
    if (message.seq !== null && !fresh.delete(message.seq)) tell.duplicate(message);
    else await each(message);
  }
};

const save = (trx: Trx, values: { stream: string; watermark: number; highest: number }): Promise<number> =>
  trx.run(advance, values);

/**
 * Moves the watermarks over what was heard without a gap, and forgets the rows below them; for the process that leads.
 *
 * A row goes one round after the watermark passed it, in a transaction of its own: a batch that was read before the one
 * and written after the other would be undone as a conflict, and few live that long. It is SERIALIZABLE that makes this
 * right, so none of these may run otherwise.
 */
export const compact = async (store: Store): Promise<void> => {
  let stream = (await store.read.get(nextStream, { stream: '' }))?.stream;
  for (; stream !== undefined; stream = (await store.read.get(nextStream, { stream }))?.stream) {
    const of = stream;
    const before = (await store.read.get(findStream, { stream })) ?? { watermark: 0, highest: 0 };
    const first = (await store.read.get(lowest, { stream }))?.seq ?? Number.POSITIVE_INFINITY;
    if (first <= before.watermark)
      await store.transact('inbox.forget', (trx) =>
        trx.run(forget, { stream: of, watermark: before.watermark }),
      );
    // Committed rows alone, and nobody takes away one above the watermark: what is counted here stays true.
    let { watermark } = before;
    for (const { seq } of await store.read.all(ahead, { stream, watermark })) {
      if (seq !== watermark + 1) break;
      watermark = seq;
    }
    const highest = Math.max(
      before.highest,
      watermark,
      (await store.read.get(farthest, { stream }))?.seq ?? 0,
    );
    if (watermark === before.watermark && highest === before.highest) continue;
    await store.transact('inbox.advance', (trx) => save(trx, { stream: of, watermark, highest }));
  }
};
