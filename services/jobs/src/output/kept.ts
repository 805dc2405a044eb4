/** What a string costs beside its characters, and its place in the list. */
const OVERHEAD = 64;
const sizeOf = (chunk: string): number => chunk.length + OVERHEAD;

/**
 * The newest chunks of one attempt, numbered from 0, as JSON texts. Those at the front go when there is no room.
 */
export const createKept = () => {
  let chunks: string[] = [];
  let first = 0;
  let size = 0;

  const dropUntil = (max: number): void => {
    let count = 0;
    while (size > max && count < chunks.length) {
      size -= sizeOf(chunks[count] as string);
      count += 1;
    }
    chunks.splice(0, count);
    first += count;
  };

  return {
    /** The number of the first one that is here. */
    first: (): number => first,
    /** The number of the one that comes next. */
    next: (): number => first + chunks.length,
    size: (): number => size,
    /** @param seq of the first. What was added before is skipped; what lies between is a hole, and all before it goes. */
    add: (seq: number, added: readonly string[]): void => {
      const next = first + chunks.length;
      if (seq > next) {
        chunks = [];
        size = 0;
        first = seq;
      }
      for (const chunk of added.slice(Math.max(0, next - seq))) {
        chunks.push(chunk);
        size += sizeOf(chunk);
      }
    },
    /** An eighth more than it must: a list that is full is not moved with each chunk. */
    keepWithin: (max: number): void => {
      if (size > max) dropUntil(max - max / 8);
    },
    /** @returns those from `seq` on, at least one if there is one, and no more than `max` characters. */
    from: (seq: number, max: number): readonly string[] => {
      const start = seq - first;
      let end = start;
      for (let length = 0; end < chunks.length; end++) {
        length += (chunks[end] as string).length;
        if (end > start && length > max) break;
      }
      return chunks.slice(start, end);
    },
    clear: (): void => {
      chunks = [];
      first = 0;
      size = 0;
    },
  };
};
export type Kept = ReturnType<typeof createKept>;
