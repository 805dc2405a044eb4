import type { ChassisTables } from '../migrations/index.ts';
import { builder, hot, type Params } from '../sql.ts';
import type { ReceiveEach } from './batch.ts';

const db = builder<ChassisTables>();

export const findStream = hot((p: Params<{ stream: string }>) =>
  db.selectFrom('inbox_stream').select(['watermark', 'highest']).where('stream', '=', p('stream')),
);
const saveStream = hot((p: Params<{ stream: string; watermark: number; highest: number }>) =>
  db
    .insertInto('inbox_stream')
    .values({ stream: p('stream'), watermark: p('watermark'), highest: p('highest') })
    .onConflict((conflict) =>
      conflict.column('stream').doUpdateSet({ watermark: p('watermark'), highest: p('highest') }),
    ),
);
const findAhead = hot((p: Params<{ stream: string; seq: number }>) =>
  db.selectFrom('inbox_ahead').select('seq').where('stream', '=', p('stream')).where('seq', '=', p('seq')),
);
const saveAhead = hot((p: Params<{ stream: string; seq: number }>) =>
  db.insertInto('inbox_ahead').values({ stream: p('stream'), seq: p('seq') }),
);
const dropAhead = hot((p: Params<{ stream: string; seq: number }>) =>
  db.deleteFrom('inbox_ahead').where('stream', '=', p('stream')).where('seq', '=', p('seq')),
);

/**
 * One process empties the mailbox: what comes in order moves the watermark and leaves no row. What comes ahead has one
 * until the gap before it is filled.
 */
export const receiveInOrder: ReceiveEach = async (trx, batch, each, tell) => {
  const { stream } = batch;
  const before = (await trx.get(findStream, { stream })) ?? { watermark: 0, highest: 0 };
  let { watermark, highest } = before;
  /** Over what was heard ahead: it comes as a duplicate, if at all, and moves nothing. */
  const closeGap = async (): Promise<void> => {
    while (watermark < highest && (await trx.run(dropAhead, { stream, seq: watermark + 1 })) === 1)
      watermark += 1;
  };
  const missedUntil = (batch.floor ?? 0) - 1;
  if (missedUntil > watermark) {
    tell.missed({ stream, from: watermark + 1, to: missedUntil });
    watermark = missedUntil;
    highest = Math.max(highest, watermark);
    await trx.run(db.deleteFrom('inbox_ahead').where('stream', '=', stream).where('seq', '<=', watermark));
    await closeGap();
  }
  for (const message of batch.messages) {
    const { seq } = message;
    if (
      seq !== null &&
      (seq <= watermark || (seq <= highest && (await trx.get(findAhead, { stream, seq })) !== undefined))
    ) {
      tell.duplicate(message);
      continue;
    }
    await each(message);
    if (seq === null) continue;
    if (seq !== watermark + 1) await trx.run(saveAhead, { stream, seq });
    else {
      watermark = seq;
      await closeGap();
    }
    highest = Math.max(highest, seq);
  }
  if (watermark !== before.watermark || highest !== before.highest) {
    await trx.run(saveStream, { stream, watermark, highest });
  }
};
