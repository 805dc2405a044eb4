import type { Destination, ServiceName } from '@aitbc/contracts';
import { failpoint } from '../failpoint.ts';
import type { Log } from '../log.ts';
import { openSender, type Postal, type Sender } from '../mailbox.ts';
import type { Metrics } from '../metrics.ts';
import type { RedisClient } from '../redis/index.ts';
import { createSendWindow, type SendWindow } from '../send-window.ts';
import type { Store } from '../store/index.ts';
import { pause } from '../ticker.ts';
import { added, BATCH_MAX, BATCH_MAX_BYTES, ROWS_MAX, statementsFor } from './statements.ts';

/**
 * After an entry that was not full the next waits so long: a message alone costs both sides 220 µs and a commit, so
 * under load at most 66 entries a second go to a mailbox, however small the messages drip in.
 */
const GATHER_MS = 15;
/** What lingers waits so long at most, and leaves earlier with whatever does not. */
const LINGER_MS = 200;
/** Sent so long ago and not acknowledged, with nothing waiting: lost. Receivers acknowledge twice a second. */
const LOST_AFTER_MS = 2_500;
/** Each time in vain it waits twice as long: a receiver may be slow, and copies of what it has not read make it slower. */
const LOST_AFTER_MAX_MS = 20_000;
const SETTLE_EVERY_MS = 1_000;
/** While somebody waits for room, after a look at once: nine tenths of a window at every look are 18,000 messages a second. */
const SETTLE_FULL_EVERY_MS = 250;
/** Sent again at most, a turn. */
const RESEND_MAX = 5_000;
const BACK_OFF_MAX_MS = 2_000;

interface Mailbox {
  destination: Destination;
  sender: Sender;
  sentSeq: number;
  ackedSeq: number;
  lastSentAt: number;
  window: SendWindow;
  /** Rows wait until the receiver acknowledges some of what is under way. */
  isHeld: boolean;
  lostAfterMs: number;
  /** When the receiver was first seen to have heard later messages but not the next one; 0 when it has no gap. */
  gapSince: number;
  /** When what waits in the outbox leaves; infinite when nothing waits. */
  dueAt: number;
  /** Looks at `dueAt` again. */
  wake: () => void;
}

interface Entry {
  readonly texts: string[];
  lastSeq: number;
  bytes: number;
}

/** @param window ends it where it is full; it may be exceeded by the last one */
const entriesOf = (
  lines: readonly { seq: number; line: string }[],
  window: SendWindow | undefined,
): Entry[] => {
  const entries: Entry[] = [];
  const all = { messages: 0, bytes: 0 };
  for (const { seq, line } of lines) {
    let entry = entries.at(-1);
    if (
      entry === undefined ||
      entry.texts.length === BATCH_MAX ||
      entry.bytes + line.length > BATCH_MAX_BYTES
    ) {
      if (window?.isFull(all)) break;
      entry = { texts: [], lastSeq: seq, bytes: 0 };
      entries.push(entry);
    }
    // A line is JSON already: a batch is put together from texts, and what it says is sealed as it stands.
    entry.texts.push(`{"seq":${seq},${line}`);
    entry.lastSeq = seq;
    entry.bytes += line.length;
    all.messages += 1;
    all.bytes += line.length;
  }
  return entries;
};

/**
 * Carries the outbox rows of one stream to the destinations' mailboxes, in order, many in one queue entry. Rows stay until the receiver
 * acknowledged them (`watermark:highest`, as TCP does), so whatever Redis loses is sent again; what arrives twice is
 * dropped by the receiver's watermark. What is under way to one destination is bounded ({@link createSendWindow}): the
 * rest waits in the file. The dispatcher has no file: its rows go once Redis has taken them, and the
 * reconciler of jobs is the net.
 */
export const startRelay = async (options: {
  service: ServiceName;
  store: Store;
  stream: string;
  redis: RedisClient;
  postal: Postal;
  destinations: readonly Destination[];
  log: Log;
  metrics: Metrics;
}) => {
  const { store, stream, redis, log, postal } = options;
  const { selectAfter, newest, oldest, purge } = statementsFor(store.isShared);
  const stopping = new AbortController();

  const mailboxes: Mailbox[] = [];
  for (const destination of options.destinations) {
    const first = await store.read.get(oldest, { stream, destination });
    const start = first === undefined ? 0 : first.seq - first.count;
    mailboxes.push({
      destination,
      sender: openSender({ from: options.service, to: destination, redis, postal }),
      sentSeq: start,
      ackedSeq: start,
      lastSentAt: 0,
      window: createSendWindow(),
      isHeld: false,
      lostAfterMs: LOST_AFTER_MS,
      gapSince: 0,
      dueAt: 0,
      wake: () => {},
    });
  }
  const newestSeq = async (mailbox: Mailbox): Promise<number> =>
    Number((await store.read.get(newest, { stream, destination: mailbox.destination }))?.seq ?? 0);

  /** One queue entry. */
  const sendEntry = async (mailbox: Mailbox, texts: readonly string[]): Promise<void> => {
    failpoint('relay:before-publish');
    mailbox.lastSentAt = performance.now();
    await mailbox.sender.send(
      `{"stream":${JSON.stringify(stream)},"floor":${mailbox.ackedSeq + 1},"messages":[${texts.join(',')}]}`,
    );
    failpoint('relay:after-publish');
  };

  /**
   * Sends what up to ROWS_MAX rows hold after `afterSeq`, all that were read: of large messages an entry holds two, and
   * reading the others again for each entry would cost fifty times as much as sending them. The entries go one behind the
   * other without waiting for Redis between them: a process that has much to do hears its answer only at its next turn.
   * @param limit the window counts them and ends the batch when it is full; what is sent again ends at `untilSeq`.
   * @returns the seq of the last one, and whether more may follow.
   * @throws when Redis did not take one of them; then all count as not sent, and those it took come twice.
   */
  const sendBatch = async (
    mailbox: Mailbox,
    afterSeq: number,
    limit: { window: SendWindow } | { untilSeq: number },
  ): Promise<{ lastSeq: number; isFull: boolean }> => {
    const window = 'window' in limit ? limit.window : undefined;
    const untilSeq = 'untilSeq' in limit ? limit.untilSeq : Number.POSITIVE_INFINITY;
    const rows = await store.read.all(selectAfter, {
      stream,
      destination: mailbox.destination,
      seq: afterSeq,
    });
    const lines = rows.flatMap((row) =>
      row.messages
        .split('\n')
        .map((line, index) => ({ seq: row.seq - row.count + 1 + index, line }))
        .filter(({ seq }) => seq > afterSeq && seq <= untilSeq),
    );
    const entries = entriesOf(lines, window);
    await Promise.all(entries.map((entry) => sendEntry(mailbox, entry.texts)));
    for (const { lastSeq, texts, bytes } of entries) window?.sent(lastSeq, texts.length, bytes);
    const lastSeq = entries.at(-1)?.lastSeq ?? afterSeq;
    return { lastSeq, isFull: rows.length === ROWS_MAX || lastSeq < (lines.at(-1)?.seq ?? 0) };
  };

  /** Rows were added. The first after a silence leaves at once; what comes right behind it travels together. */
  const expect = (mailbox: Mailbox, waitMs: number): void => {
    const dueAt = Math.max(performance.now() + waitMs, mailbox.lastSentAt + GATHER_MS);
    if (dueAt >= mailbox.dueAt) return;
    mailbox.dueAt = dueAt;
    mailbox.wake();
  };

  const untilDue = async (mailbox: Mailbox): Promise<void> => {
    while (!stopping.signal.aborted) {
      const waitMs = mailbox.dueAt - performance.now();
      if (waitMs <= 0) return;
      await new Promise<void>((resolve) => {
        const timer = Number.isFinite(waitMs) ? setTimeout(resolve, waitMs) : undefined;
        mailbox.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  };

  /** Looks what was acknowledged without waiting for the next turn: somebody has just run out of room. */
  let settleNow = (): void => {};

  const run = async (mailbox: Mailbox): Promise<void> => {
    let backOffMs = 100;
    while (!stopping.signal.aborted) {
      await untilDue(mailbox);
      mailbox.dueAt = Number.POSITIVE_INFINITY;
      try {
        let isFull = true;
        while (isFull && !stopping.signal.aborted) {
          const wasHeld = mailbox.isHeld;
          mailbox.isHeld = mailbox.window.isFull();
          if (mailbox.isHeld && !wasHeld) settleNow();
          if (mailbox.isHeld) break;
          const sent = await sendBatch(mailbox, mailbox.sentSeq, { window: mailbox.window });
          // Some of it may be acknowledged by now: an earlier try had brought it there, or Redis was slow to answer.
          mailbox.sentSeq = Math.max(sent.lastSeq, mailbox.ackedSeq);
          mailbox.window.acknowledged(mailbox.ackedSeq);
          isFull = sent.isFull;
        }
        backOffMs = 100;
      } catch (error) {
        log.debug({ err: error, destination: mailbox.destination }, 'relay waits for redis');
        expect(mailbox, backOffMs);
        backOffMs = Math.min(backOffMs * 2, BACK_OFF_MAX_MS);
      }
    }
  };

  const acknowledged = async (mailbox: Mailbox): Promise<{ watermark: number; highest: number }> => {
    if (mailbox.destination === 'dispatcher') return { watermark: mailbox.sentSeq, highest: mailbox.sentSeq };
    const value = await redis.hget(postal.ackKey(mailbox.destination), stream);
    if (value === null) return { watermark: 0, highest: 0 };
    const heard = postal.envelopes.openWatermark(mailbox.destination, stream, value);
    if (heard === null) {
      options.metrics.forgeries.inc({ what: 'watermark' });
      log.error({ destination: mailbox.destination }, 'a watermark was not written by its receiver: ignored');
    }
    return heard ?? { watermark: 0, highest: 0 };
  };

  const resend = async (mailbox: Mailbox, untilSeq: number): Promise<void> => {
    log.warn(
      { destination: mailbox.destination, from: mailbox.ackedSeq + 1, to: untilSeq },
      'messages were not acknowledged; sending again',
    );
    mailbox.lostAfterMs = Math.min(mailbox.lostAfterMs * 2, LOST_AFTER_MAX_MS);
    const stopAt = Math.min(untilSeq, mailbox.ackedSeq + RESEND_MAX);
    let sent = { lastSeq: mailbox.ackedSeq, isFull: true };
    while (sent.isFull && sent.lastSeq < stopAt && !stopping.signal.aborted) {
      const { lastSeq: before } = sent;
      sent = await sendBatch(mailbox, before, { untilSeq: stopAt });
      // What was to be sent is gone: somebody else has purged it.
      if (sent.lastSeq === before) break;
    }
  };

  const settle = async (mailbox: Mailbox): Promise<void> => {
    if (mailbox.sentSeq <= mailbox.ackedSeq) return;
    const { watermark, highest } = await acknowledged(mailbox);
    if (watermark > mailbox.ackedSeq) {
      failpoint('relay:before-purge');
      await store.transact('outbox.purge', async (trx) =>
        trx.run(purge, {
          stream,
          destination: mailbox.destination,
          acked: watermark,
          newest: await newestSeq(mailbox),
        }),
      );
      mailbox.ackedSeq = watermark;
      mailbox.sentSeq = Math.max(mailbox.sentSeq, watermark);
      mailbox.gapSince = 0;
      mailbox.lostAfterMs = LOST_AFTER_MS;
      mailbox.window.acknowledged(watermark);
      if (mailbox.isHeld) expect(mailbox, 0);
    }
    if (mailbox.sentSeq <= mailbox.ackedSeq) return;
    const now = performance.now();
    if (highest > mailbox.ackedSeq) {
      // Later ones arrived, the next one did not: its batch died with a worker or with Redis.
      if (mailbox.gapSince === 0) mailbox.gapSince = now;
      else if (now - mailbox.gapSince > mailbox.lostAfterMs) {
        mailbox.gapSince = now;
        await resend(mailbox, highest);
      }
    } else if (now - mailbox.lastSentAt > mailbox.lostAfterMs && !(await mailbox.sender.hasWaiting())) {
      await resend(mailbox, mailbox.sentSeq);
    }
  };

  const settleLoop = (async () => {
    while (!stopping.signal.aborted) {
      const isHeld = mailboxes.some((mailbox) => mailbox.isHeld);
      const resting = new AbortController();
      settleNow = () => resting.abort();
      await pause(
        isHeld ? SETTLE_FULL_EVERY_MS : SETTLE_EVERY_MS,
        AbortSignal.any([stopping.signal, resting.signal]),
      );
      for (const mailbox of mailboxes) {
        // Redis away: nothing to settle until it is back.
        await settle(mailbox).catch((error) => log.debug({ err: error }, 'relay could not settle'));
      }
    }
  })();

  const runs = mailboxes.map(run);
  const expectAll = () => {
    for (const mailbox of mailboxes) expect(mailbox, 0);
  };
  const subscriptions = mailboxes.flatMap((mailbox) => [
    store.subscribe(added(mailbox.destination, false), () => expect(mailbox, 0)),
    store.subscribe(added(mailbox.destination, true), () => expect(mailbox, LINGER_MS)),
  ]);
  redis.on('ready', expectAll);

  return {
    /** Messages not yet acknowledged, over all destinations. */
    unacknowledged: async (): Promise<number> => {
      let sum = 0;
      for (const mailbox of mailboxes) sum += Math.max(0, (await newestSeq(mailbox)) - mailbox.ackedSeq);
      return sum;
    },
    /** Takes no further row in hand. */
    halt: (): void => stopping.abort(),
    stop: async (): Promise<void> => {
      stopping.abort();
      for (const unsubscribe of subscriptions) unsubscribe();
      redis.off('ready', expectAll);
      for (const mailbox of mailboxes) mailbox.wake();
      await Promise.all([...runs, settleLoop]);
      for (const mailbox of mailboxes) await mailbox.sender.close();
    },
  };
};
