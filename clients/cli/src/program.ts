import { Command, Option } from 'commander';
import { addAccount } from './commands/account.ts';
import { addAdmin } from './commands/admin.ts';
import { addChat } from './commands/chat.ts';
import { addCompletion } from './commands/completion.ts';
import { addDoctor } from './commands/doctor.ts';
import { addExplorer } from './commands/explorer.ts';
import { addGovernance } from './commands/gov.ts';
import { addGpus } from './commands/gpus.ts';
import { addJobs } from './commands/jobs.ts';
import { addMiner } from './commands/miner.ts';
import { addUsage } from './commands/usage.ts';
import { addWallet } from './commands/wallet.ts';
import { addWebhooks } from './commands/webhooks.ts';
import type { Context } from './context.ts';
import { EXIT_HELP, type ExitCode } from './failures.ts';

export const VERSION = '0.1.0';

/** What a command does; without a word of its own it ends with 0. */
// biome-ignore lint/suspicious/noConfusingVoidType: most end without a word
type Work = (context: Context) => Promise<ExitCode | void>;
export type Runner = (command: Command, work: Work) => Promise<void>;
/** Adds commands to a parent. `act` makes the action of one out of what it does. */
export type Act = <A extends unknown[]>(
  // biome-ignore lint/suspicious/noConfusingVoidType: most end without a word
  work: (context: Context, ...args: A) => Promise<ExitCode | void>,
) => (...args: [...A, Command]) => Promise<void>;

const EXAMPLES = `
Examples:
  aitbc login                              store a key, asked for and not shown
  aitbc jobs run language_detection -p text='Bonjour'
  aitbc chat                               talk with a model
  aitbc jobs batch lines.jsonl             thousands; started again, it goes on
  aitbc doctor                             why does it not work?
  aitbc jobs list --json | jq -r '.[].id'  for scripts

The coordinator and the key come from AITBC_URL and AITBC_API_KEY, else from the
profile of aitbc login.

${EXIT_HELP}`;

export const createProgram = (runner: Runner): Command => {
  const act: Act =
    <A extends unknown[]>(work: (context: Context, ...args: A) => ReturnType<Work>) =>
    (...args: [...A, Command]) => {
      // Commander gives arguments, options and the command.
      const given = args.slice(0, -1) as unknown as A;
      return runner(args.at(-1) as Command, (context) => work(context, ...given));
    };
  const program = new Command('aitbc')
    .description('The AITBC coordinator in a terminal: jobs, chat, GPUs, wallet, votes, explorer.')
    .version(VERSION)
    .option('--json', 'print JSON instead of tables')
    .option('--profile <name>', 'of aitbc login (AITBC_PROFILE)')
    .option('--url <url>', 'the coordinator (AITBC_URL)')
    .addOption(new Option('--no-color', 'no colours; so does NO_COLOR'))
    .addHelpText('after', EXAMPLES)
    .helpCommand(false)
    .showHelpAfterError('(--help shows how it is used)')
    .configureHelp({ showGlobalOptions: false });
  addJobs(program, act);
  addChat(program, act);
  addGpus(program, act);
  addMiner(program, act);
  addWallet(program, act);
  addUsage(program, act);
  addGovernance(program, act);
  addExplorer(program, act);
  addWebhooks(program, act);
  addAccount(program, act);
  addAdmin(program, act);
  addDoctor(program, act);
  addCompletion(program, act);
  overrideExits(program);
  return program;
};

/** A command throws what ends it, so that the exit code is ours. */
const overrideExits = (command: Command): void => {
  command.exitOverride();
  for (const inner of command.commands) overrideExits(inner);
};
