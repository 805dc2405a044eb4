import type { Command } from 'commander';
import type { Act } from '../program.ts';

/** An account has 20 miners as a rule. */
const MINERS_MAX = 500;

export const addMiner = (program: Command, act: Act): void => {
  const miner = program.command('miner').description('Own miners; takes a miner key');
  miner
    .command('status')
    .description('What each does, and why it has no work')
    .addHelpText(
      'after',
      '\nExample:\n  aitbc miner status --json | jq \'.[] | select(.status != "active")\'',
    )
    .action(
      act(async ({ client, output, signal }) => {
        const mine = await client.miners.mine({}, { signal }).take(MINERS_MAX);
        if (output.isJson) return output.json(mine);
        output.table(
          ['name', 'status', 'work', 'reputation', 'idle because', 'offers', 'id'],
          mine.map((one) => [
            one.name,
            one.status,
            `${one.inflight}/${one.concurrency}`,
            one.reputation.toFixed(2),
            one.idle_reason?.replaceAll('_', ' '),
            one.capabilities.join(' '),
            one.id,
          ]),
          'No miners: run aitbc-miner beside a GPU.',
        );
      }),
    );
  miner
    .command('earnings')
    .description('What each earned')
    .addHelpText('after', '\nExample:\n  aitbc miner earnings')
    .action(
      act(async ({ client, output, signal }) => {
        const mine = await client.miners.mine({}, { signal }).take(MINERS_MAX);
        const rows = mine.map(({ id, name, earnings, jobs_completed, jobs_failed, jobs_lost }) => ({
          id,
          name,
          earnings,
          jobs_completed,
          jobs_failed,
          jobs_lost,
        }));
        if (output.isJson) return output.json(rows);
        output.table(
          ['name', 'AITBC', 'completed', 'failed', 'lost'],
          rows.map((row) => [row.name, row.earnings, row.jobs_completed, row.jobs_failed, row.jobs_lost]),
          'No miners: run aitbc-miner beside a GPU.',
        );
      }),
    );
};
