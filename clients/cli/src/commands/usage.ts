import type { Usage } from '@aitbc/sdk';
import type { Command } from 'commander';
import type { Act } from '../program.ts';

/** A row a day, model or key: more than this nobody reads on a terminal. */
const ROWS_MAX = 1_000;

const NAMES: Record<string, string> = { job_type: 'type', key_id: 'key' };

export const addUsage = (program: Command, act: Act): void => {
  program
    .command('usage')
    .description('Own jobs and what they cost, by day, type, model and key')
    .option('--by <fields>', 'comma list of day, job_type, model and key', 'day')
    .option('--from <day>', 'a day of UTC; 30 days ago without it')
    .option('--to <day>', 'the last day, which counts too')
    .addHelpText(
      'after',
      '\nExamples:\n  aitbc usage\n  aitbc usage --by model --from 2026-11-01\n  aitbc usage --by day,key --json | jq .total.spend',
    )
    .action(
      act(async ({ client, output, signal }, options: { by: string; from?: string; to?: string }) => {
        const query = { group_by: options.by, from: options.from, to: options.to, limit: 500 };
        const items: Usage[] = [];
        let total: Record<string, number> = {};
        let isAll = true;
        for await (const page of client.account.usage(query, { signal }).pages()) {
          items.push(...page.items);
          total = page.total;
          isAll = page.next_cursor === null;
          if (items.length >= ROWS_MAX && !output.isJson) break;
        }
        if (output.isJson) return output.json({ items, total });
        // What it cost is looked for first.
        const counts = [
          'jobs',
          'spend',
          ...Object.keys(total).filter((name) => !/^(jobs|spend)$/.test(name)),
        ];
        const groups = Object.keys(items[0] ?? {}).filter((name) => !counts.includes(name));
        const cells = (row: Record<string, unknown>, names: readonly string[]) =>
          names.map((name) => row[name] as string | number | null | undefined);
        output.table(
          [...groups, ...counts].map((name) => (name === 'spend' ? 'AITBC' : (NAMES[name] ?? name))),
          [
            ...items.map((row) => cells(row, [...groups, ...counts])),
            ...(items.length < 2
              ? []
              : [[...groups.map((_, at) => (at === 0 ? 'total' : '')), ...cells(total, counts)]]),
          ],
          'No jobs ended in that time.',
        );
        if (!isAll) output.note('There are more rows: name a shorter time, or take --json.');
      }),
    );
};
