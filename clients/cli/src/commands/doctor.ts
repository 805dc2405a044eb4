import type { Command } from 'commander';
import { type Check, examine } from '../examination.ts';
import { EXIT } from '../failures.ts';
import type { Act } from '../program.ts';

const SIGNS = { ok: '✓', warning: '!', fault: '✗', skipped: '·' } as const;

export const addDoctor = (program: Command, act: Act): void => {
  program
    .command('doctor')
    .description('Find out why it does not work, and what to do')
    .addHelpText(
      'after',
      `
Looks at: the address, the name, the connection, TLS, what answers there, the
version, the services behind it, the clock of this machine, the key and its
rights, the limits, and who can read the stored key. Ends with 1 when it finds
a fault.

Example:
  aitbc doctor --json | jq '.checks[] | select(.state == "fault")'`,
    )
    .action(
      act(async ({ output, environment, options, signal }) => {
        const checks: Check[] = [];
        for await (const check of examine(environment, options, signal)) {
          checks.push(check);
          if (output.isJson) continue;
          const { colors } = output;
          const paint = { ok: colors.green, warning: colors.yellow, fault: colors.red, skipped: colors.dim }[
            check.state
          ];
          output.line(`${paint(SIGNS[check.state])} ${check.name}: ${check.found}`);
          if (check.advice !== undefined) output.line(colors.dim(`  ${check.advice}`));
        }
        const healthy = checks.every(({ state }) => state !== 'fault');
        if (output.isJson) output.json({ healthy, checks });
        else output.line(healthy ? 'All is well.' : '');
        return healthy ? EXIT.done : EXIT.failed;
      }),
    );
};
