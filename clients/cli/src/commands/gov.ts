import type { Input, Proposal } from '@aitbc/sdk';
import type { Command } from 'commander';
import { count, number, parseJson, parseObject, readText, wholeNumber } from '../arguments.ts';
import type { Context } from '../context.ts';
import { UsageError } from '../failures.ts';
import type { Act } from '../program.ts';

type Draft = Input<'governance.propose'>['body'];

const percent = (share: number | null): string => (share === null ? '–' : `${(share * 100).toFixed(2)} %`);
const show = ({ output }: Context, proposal: Proposal): void => {
  if (output.isJson) {
    output.json(proposal);
    return;
  }
  const { tally } = proposal;
  output.record({
    id: proposal.id,
    title: proposal.title,
    type: proposal.type,
    status: proposal.status,
    target: JSON.stringify(proposal.target),
    'voting ends': proposal.voting_ends_at,
    'timelock ends': proposal.timelock_ends_at,
    votes: `${tally.for} for, ${tally.against} against, ${tally.abstain} abstain`,
    quorum: `${percent(tally.participation)} of ${percent(proposal.quorum_threshold)}`,
    approval: `${percent(tally.approval)} of ${percent(proposal.approval_threshold)}`,
  });
  output.line();
  for (const line of proposal.description.split('\n')) output.line(line);
};

interface ProposeOptions {
  file?: string;
  title?: string;
  description?: string;
  days?: number;
  parameter?: string;
  value?: string;
  pay?: string;
  amount?: number;
}
const draftOf = async (context: Context, options: ProposeOptions): Promise<Draft> => {
  if (options.file !== undefined)
    return parseObject(await readText(context, options.file), options.file) as unknown as Draft;
  const { title, description, parameter, value, pay, amount } = options;
  if (title === undefined || description === undefined)
    throw new UsageError('A proposal has a --title and a --description, or a --file.');
  const about = { title, description, voting_period_days: options.days };
  if (parameter !== undefined && value !== undefined)
    return {
      ...about,
      type: 'parameter_change',
      target: { parameter, value: parseJson(value, '--value') },
    } as Draft;
  if (pay !== undefined && amount !== undefined)
    return { ...about, type: 'fund_allocation', target: { recipient_account_id: pay, amount } };
  throw new UsageError('Say what it changes: --parameter with --value, --pay with --amount, or a --file.');
};

/** With id and status that is 80 columns. */
const TITLE_SHOWN = 32;

export const addGovernance = (program: Command, act: Act): void => {
  const gov = program.command('gov').description('Proposals and votes');
  gov
    .command('list')
    .description('Proposals, newest first')
    .option('--status <status>', 'active, passed, queued, executed, rejected, cancelled, execution_failed')
    .option('-n, --limit <n>', 'at most so many', count, 20)
    .addHelpText('after', '\nExample:\n  aitbc gov list --status active')
    .action(
      act(async ({ client, output, signal }, options: { status?: Proposal['status']; limit: number }) => {
        const found = await client.governance
          .list({ status: options.status }, { signal })
          .take(options.limit);
        if (output.isJson) return output.json(found);
        output.table(
          ['id', 'status', 'title', 'for', 'against', 'voting ends'],
          found.map(({ id, title, status, tally, voting_ends_at }) => [
            id,
            status,
            title.length > TITLE_SHOWN ? `${title.slice(0, TITLE_SHOWN - 1)}…` : title,
            tally.for,
            tally.against,
            voting_ends_at,
          ]),
          'No proposals.',
        );
      }),
    );
  gov
    .command('show')
    .description('One proposal with its tally')
    .argument('<proposal>')
    .action(
      act(async (context, id: string) =>
        show(context, await context.client.governance.get(id, { signal: context.signal })),
      ),
    );
  gov
    .command('vote')
    .description('Vote, or change your vote, until the deadline; takes a key with the scope vote')
    .argument('<proposal>')
    .argument('<choice>', 'for, against or abstain')
    .option('--reason <text>')
    .addHelpText('after', "\nExample:\n  aitbc gov vote 0190f2a5-… for --reason 'Fees are too high'")
    .action(
      act(async ({ client, output, signal }, proposal: string, vote: 'for', options: { reason?: string }) => {
        const cast = await client.governance.vote(
          { proposal_id: proposal, vote, reason: options.reason },
          { signal },
        );
        if (output.isJson) output.json(cast);
        else output.line(`Voted ${cast.vote} with ${cast.weight} AITBC.`);
      }),
    );
  gov
    .command('propose')
    .description('Make a proposal; takes a key with the scope vote')
    .option('--title <text>')
    .option('--description <text>')
    .option('--days <n>', 'how long it is voted on', wholeNumber)
    .option('--parameter <name>', 'the parameter to change…')
    .option('--value <json>', '…and its new value')
    .option('--pay <account>', 'who is paid from the treasury…')
    .option('--amount <aitbc>', '…and how much', number)
    .option('--file <json>', 'the whole proposal, for every other kind')
    .addHelpText(
      'after',
      `
Example:
  aitbc gov propose --title 'Lower the fee' --description "$(cat why.txt)" \\
    --parameter platform_fee_basis_points --value 200`,
    )
    .action(
      act(async (context, options: ProposeOptions) => {
        const draft = await draftOf(context, options);
        show(context, await context.client.governance.propose(draft, { signal: context.signal }));
      }),
    );
  for (const action of ['cancel', 'execute'] as const)
    gov
      .command(action)
      .description(
        action === 'cancel'
          ? 'Cancel a proposal of yours before it is executed'
          : 'Execute a proposal whose timelock has ended; it happens by itself too',
      )
      .argument('<proposal>')
      .action(
        act(async ({ client, output, signal }, id: string) => {
          const done = await client.governance[action](id, { signal });
          if (output.isJson) output.json(done);
          else output.line(`${id} ${done.status}`);
        }),
      );
  gov
    .command('parameters')
    .description('Everything that a vote can change')
    .action(
      act(async ({ client, output, signal }) => {
        const found = await client.governance.parameters({ signal });
        if (output.isJson) return output.json(found);
        output.table(
          ['name', 'value', 'default', 'changed'],
          found.map((one) => [
            one.name,
            JSON.stringify(one.value),
            JSON.stringify(one.default),
            one.changed_at,
          ]),
          'No parameters.',
        );
      }),
    );
};
