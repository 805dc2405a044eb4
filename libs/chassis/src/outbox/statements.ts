import type { Destination } from '@aitbc/contracts';
import type { ChassisTables } from '../migrations/index.ts';
import { builder, hot, type Params } from '../sql.ts';

/** One BullMQ job carries so many messages at most: alone 220 µs each, by the hundred 7 µs. */
export const BATCH_MAX = 100;

const db = builder<ChassisTables>();

/** The store's topics that say: a row was added for this destination. */
export const added = (destination: Destination, lingers: boolean): string =>
  `outbox:${destination}${lingers ? ':lingers' : ''}`;

/**
 * A file is one stream, and its rows need not say which. Where processes share the tables each has its own, and the rows
 * of all stand together.
 */
const compile = (isShared: boolean) => {
  type To = { stream: string; destination: string };
  const rowsTo = (p: Params<To>) => {
    const rows = db.selectFrom('outbox').where('destination', '=', p('destination'));
    return isShared ? rows.where('stream', '=', p('stream')) : rows;
  };
  return {
    insert: hot(
      (
        p: Params<
          To & { seq: number; name: string; version: number; payload: string; created_at_ms: number }
        >,
      ) =>
        db.insertInto('outbox').values({
          destination: p('destination'),
          seq: p('seq'),
          name: p('name'),
          version: p('version'),
          payload: p('payload'),
          created_at_ms: p('created_at_ms'),
          ...(isShared ? { stream: p('stream') } : {}),
        }),
    ),
    selectAfter: hot((p: Params<To & { seq: number }>) =>
      rowsTo(p)
        .select(['seq', 'name', 'version', 'payload', 'created_at_ms'])
        .where('seq', '>', p('seq'))
        .orderBy('seq')
        .limit(BATCH_MAX),
    ),
    // The newest row of a destination is never purged, so that its seq is never used again. `ORDER BY … LIMIT 1` walks
    // one index entry where `max()` beside other columns would walk them all.
    newest: hot((p: Params<To>) => rowsTo(p).select('seq').orderBy('seq', 'desc').limit(1)),
    oldest: hot((p: Params<To>) => rowsTo(p).select('seq').orderBy('seq').limit(1)),
    purge: hot((p: Params<To & { acked: number; newest: number }>) => {
      const rows = db
        .deleteFrom('outbox')
        .where('destination', '=', p('destination'))
        .where('seq', '<=', p('acked'))
        .where('seq', '<', p('newest'));
      return isShared ? rows.where('stream', '=', p('stream')) : rows;
    }),
  };
};

const alone = compile(false);
let shared: ReturnType<typeof compile> | undefined;

export const statementsFor = (isShared: boolean): ReturnType<typeof compile> => {
  if (!isShared) return alone;
  shared ??= compile(true);
  return shared;
};
