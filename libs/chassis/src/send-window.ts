/**
 * Sent to one destination and not acknowledged, at most: a receiver that is away, or dead, must not fill Redis.
 * Acknowledged as soon as a tenth of it was heard, it never lets a receiver stand idle: by a clock alone, twice a second and looked at
 * as seldom, it let 5,000 messages a second through, and payments stood still between them.
 */
export const WINDOW_MESSAGES = 5_000;
export const WINDOW_BYTES = 8 * 1024 * 1024;

/**
 * What is under way to one destination. It is full by messages or by bytes, whichever comes first, and may be exceeded by
 * one entry, so that a message of any size gets through.
 */
export const createSendWindow = () => {
  let entries: { lastSeq: number; messages: number; bytes: number }[] = [];
  let messages = 0;
  let bytes = 0;
  return {
    /** @param about what is about to be sent, beside what was */
    isFull: (about = { messages: 0, bytes: 0 }): boolean =>
      messages + about.messages >= WINDOW_MESSAGES || bytes + about.bytes >= WINDOW_BYTES,
    sent: (lastSeq: number, count: number, size: number): void => {
      entries.push({ lastSeq, messages: count, bytes: size });
      messages += count;
      bytes += size;
    },
    acknowledged: (seq: number): void => {
      const left = entries.findIndex(({ lastSeq }) => lastSeq > seq);
      const gone = left === -1 ? entries : entries.slice(0, left);
      entries = left === -1 ? [] : entries.slice(left);
      for (const entry of gone) {
        messages -= entry.messages;
        bytes -= entry.bytes;
      }
    },
  };
};
export type SendWindow = ReturnType<typeof createSendWindow>;
