import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { LOG_LEVELS, type LogLevel } from './log.ts';

/** The job types this agent has executors for. */
const EXECUTOR_TYPES = [
  'chat_completion',
  'text_completion',
  'llm_inference',
  'embedding',
  'ocr',
  'language_detection',
  'custom',
] as const;
export type ExecutorType = (typeof EXECUTOR_TYPES)[number];

export interface MinerOptions {
  /** Without a trailing slash. */
  readonly coordinator: string;
  readonly key: string;
  readonly name: string;
  readonly address: string;
  readonly concurrency: number;
  readonly price: number | undefined;
  readonly region: string | undefined;
  readonly llmUrl: string;
  readonly llmKey: string | undefined;
  /** Models that embed though they are not called like one. */
  readonly embeddingModels: readonly string[];
  readonly allowCustom: boolean;
  readonly only: readonly ExecutorType[];
  readonly drainSeconds: number;
  readonly logLevel: LogLevel;
  readonly json: boolean;
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
export const AGENT = `aitbc-miner/${version}`;

/** Where Ollama listens when nobody says otherwise. */
const LLM_URL_DEFAULT = 'http://127.0.0.1:11434/v1';

const EXAMPLES = `
Examples:
  Offer what this machine can do, with a key from the environment:
    AITBC_MINER_KEY=ak_… aitbc-miner --coordinator https://coordinator.example

  Beside Ollama (found by itself on port 11434), four jobs at once, 0.02 AITBC a job:
    ollama pull llama3.2:1b
    aitbc-miner --key ak_… --concurrency 4 --price 0.02 --region eu-west

  Beside vLLM or llama.cpp on another port:
    aitbc-miner --key ak_… --llm-url http://127.0.0.1:8001/v1

  Only OCR and language detection, log as JSON lines:
    aitbc-miner --key ak_… --only ocr,language_detection --json

  A second agent on the same machine needs a name of its own:
    aitbc-miner --key ak_… --name box-gpu1

Job types:
  chat_completion, text_completion, llm_inference, embedding
                             need a server with the OpenAI API (Ollama, vLLM, llama.cpp)
  ocr, language_detection    come with the program, no network needed
  custom                     runs clients' commands here; only with --allow-custom

Ctrl-C finishes the running jobs; a second Ctrl-C gives them back to the coordinator at once.`;

const text =
  (max: number) =>
  (value: string): string => {
    const trimmed = value.trim();
    if (trimmed === '' || trimmed.length > max)
      throw new InvalidArgumentError(`It must have 1 to ${max} characters.`);
    return trimmed;
  };

const number =
  (min: number, max: number, isWhole: boolean) =>
  (value: string): number => {
    const parsed = Number(value);
    if (value.trim() === '' || !(parsed >= min && parsed <= max) || (isWhole && !Number.isInteger(parsed))) {
      throw new InvalidArgumentError(`It must be a ${isWhole ? 'whole ' : ''}number from ${min} to ${max}.`);
    }
    return parsed;
  };

const url = (value: string): string => {
  const parsed = URL.parse(value);
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    throw new InvalidArgumentError('It must be a URL such as http://127.0.0.1:8000.');
  }
  // It would be shown in the log, and fetch refuses it anyway.
  if (parsed.username !== '' || parsed.password !== '')
    throw new InvalidArgumentError('Put no password into the URL.');
  parsed.search = '';
  parsed.hash = '';
  return parsed.href.replace(/\/+$/, '');
};

const names = (value: string): string[] => value.split(',').map(text(200));

const types = (value: string): ExecutorType[] =>
  value.split(',').map((name) => {
    const type = EXECUTOR_TYPES.find((known) => known === name.trim());
    if (type === undefined) throw new InvalidArgumentError(`Known types: ${EXECUTOR_TYPES.join(', ')}.`);
    return type;
  });

/**
 * A stable name for this miner that does not tell the host's. Earnings go to the account of the key whatever stands
 * here; the key itself has no part in it, since the address is public and a short key could be guessed from it.
 */
const defaultAddress = (name: string): string =>
  `miner-${createHash('sha256').update(`${hostname()}\n${name}`).digest('hex').slice(0, 16)}`;

export const createProgram = (): Command =>
  new Command('aitbc-miner')
    .description('Takes jobs from an AITBC coordinator, runs them on this machine and returns the results.')
    .version(version)
    .addOption(
      new Option('-c, --coordinator <url>', 'the coordinator')
        .env('AITBC_COORDINATOR')
        .default('http://127.0.0.1:8000')
        .argParser(url),
    )
    .addOption(
      new Option(
        '-k, --key <key>',
        'API key with miner scope; the variable keeps it out of process lists',
      ).env('AITBC_MINER_KEY'),
    )
    .addOption(
      new Option('-n, --name <name>', 'tells your miners apart (default: the host name)').argParser(
        text(100),
      ),
    )
    .addOption(
      new Option(
        '--address <address>',
        'ledger or wallet address to show publicly (default: made from the name)',
      )
        .env('AITBC_ADDRESS')
        .argParser(text(200)),
    )
    .addOption(
      new Option('--concurrency <n>', 'jobs at once, 1-64').default(2).argParser(number(1, 64, true)),
    )
    .addOption(
      new Option('--price <aitbc>', 'least price of a job, in AITBC').argParser(number(0, 10_000_000, false)),
    )
    .addOption(
      new Option('--region <region>', 'where this machine stands, for clients that ask').argParser(text(100)),
    )
    .addOption(
      new Option('--llm-url <url>', 'base URL of a server with the OpenAI API')
        .env('AITBC_LLM_URL')
        .default(LLM_URL_DEFAULT)
        .argParser(url),
    )
    .addOption(new Option('--llm-key <key>', 'key of that server, if it wants one').env('AITBC_LLM_KEY'))
    .addOption(
      new Option(
        '--embedding-model <names>',
        'models for embedding that are not called like one, with commas between',
      ).argParser(names),
    )
    .addOption(
      new Option('--only <types>', 'offer only these job types, with commas between').argParser(types),
    )
    .addOption(
      new Option(
        '--allow-custom',
        "run clients' commands as this user, without a sandbox: know your clients",
      ).default(false),
    )
    .addOption(
      new Option('--drain-seconds <n>', 'how long running jobs may go on after Ctrl-C')
        .default(30)
        .argParser(number(0, 86_400, false)),
    )
    .addOption(new Option('--log-level <level>', 'least severity to log').choices(LOG_LEVELS).default('info'))
    .addOption(new Option('--json', 'log JSON lines instead of sentences').default(false))
    .configureHelp({ sortOptions: false })
    .showHelpAfterError('(aitbc-miner --help explains the options)')
    .allowExcessArguments(false)
    .addHelpText('after', EXAMPLES);

/** What an HTTP header can carry. Checked here because the parser's own complaint would repeat the value. */
const isKey = (value: string): boolean => /^[\x21-\x7e]{1,500}$/.test(value);

/** @param argv as in process.argv. Ends the process with a sentence on standard error when they make no sense. */
export const parseOptions = (argv: readonly string[], program: Command = createProgram()): MinerOptions => {
  program.parse(argv);
  const given = program.opts<Partial<MinerOptions> & { llmUrl: string; embeddingModel?: string[] }>();
  if (given.key === undefined) {
    program.error(
      'error: no key. Pass --key ak_… or set AITBC_MINER_KEY; a key with miner scope comes from the operator or from your account.',
    );
  }
  if (!isKey(given.key ?? ''))
    program.error('error: --key is not a key: it has blanks or other characters no key has.');
  if (given.llmKey !== undefined && !isKey(given.llmKey)) program.error('error: --llm-key is not a key.');
  const name = given.name ?? (hostname().slice(0, 100) || 'miner');
  return {
    coordinator: given.coordinator ?? '',
    key: given.key ?? '',
    name,
    address: given.address ?? defaultAddress(name),
    concurrency: given.concurrency ?? 2,
    price: given.price,
    region: given.region,
    llmUrl: given.llmUrl,
    llmKey: given.llmKey,
    embeddingModels: given.embeddingModel ?? [],
    allowCustom: given.allowCustom ?? false,
    only: given.only ?? EXECUTOR_TYPES,
    drainSeconds: given.drainSeconds ?? 30,
    logLevel: given.logLevel ?? 'info',
    json: given.json ?? false,
  };
};
