import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PAGE_BYTES_MAX, pageOf } from './page.ts';

interface Row {
  id: number;
  text: string;
}
const view = (row: Row) => row;
const cursorOf = (row: Row) => String(row.id);
const bytesOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value));

test('a walk sees every row once, in pages within both bounds', async () => {
  const sizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: 400_000 })), {
    maxLength: 30,
  });
  await fc.assert(
    fc.asyncProperty(sizes, fc.integer({ min: 1, max: 10 }), async (all, limit) => {
      const rows = all.map((size, id) => ({ id, text: 'x'.repeat(size) }));
      const seen: Row[] = [];
      let cursor: string | null = null;
      do {
        const from: number = cursor === null ? 0 : Number(cursor) + 1;
        const page = await pageOf(rows.slice(from, from + limit + 1), limit, view, cursorOf);
        expect(page.items.length).toBeLessThanOrEqual(limit);
        if (rows.length > 0) expect(page.items.length).toBeGreaterThan(0);
        if (page.items.length > 1)
          expect(page.items.reduce((sum, item) => sum + bytesOf(item), 0)).toBeLessThanOrEqual(
            PAGE_BYTES_MAX,
          );
        seen.push(...page.items);
        cursor = page.next_cursor;
      } while (cursor !== null);
      expect(seen).toEqual(rows);
    }),
    { numRuns: 100 },
  );
});

test('rows beyond the page are not read, and bytes are counted, not characters', async () => {
  let read = 0;
  const rows = function* (): Generator<Row> {
    for (let id = 0; ; id += 1) {
      read += 1;
      yield { id, text: '語'.repeat(10_000) };
    }
  };
  const page = await pageOf(rows(), 500, view, cursorOf);
  expect(page.items).toHaveLength(8);
  expect(read).toBe(9);
  expect(page.next_cursor).toBe('7');
});

test('a view that gives nothing ends the page before it', async () => {
  const rows = [0, 1, 2, 3].map((id) => ({ id, text: '' }));
  const page = await pageOf(rows, 10, (row) => (row.id < 2 ? row : null), cursorOf);
  expect(page).toEqual({ items: rows.slice(0, 2), next_cursor: '1' });
});
