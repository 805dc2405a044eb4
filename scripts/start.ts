import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { buildConsole } from './console.ts';
import { logTo } from './log-lines.ts';
import { CannotStart, type Stack, startStack } from './stack.ts';

const help = `npm start -- [options]     starts the whole coordinator on this machine

  --port N          of the API; default API_PORT or 8000 (a free one if 8000 is taken)
  --data-dir PATH   where databases (without POSTGRES_URL), broker and development keys live; default DATA_DIR or .data
  --dispatchers N   dispatch workers; default 2
  --no-miner        without the demo miner
  --help            this text

Every setting of the environment (and of a file named .env, if there is one) is passed on.`;

const root = resolve(import.meta.dirname, '..');

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string' },
      'data-dir': { type: 'string' },
      dispatchers: { type: 'string', default: '2' },
      miner: { type: 'boolean', default: true },
      help: { type: 'boolean', default: false },
    },
    allowNegative: true,
  });
  if (values.help) {
    console.log(help);
    return;
  }
  const settings = resolve(root, '.env');
  if (existsSync(settings)) process.loadEnvFile(settings);
  const dataDir = resolve(root, values['data-dir'] ?? process.env.DATA_DIR ?? '.data');
  const log = logTo(process.stdout);
  const hasConsole = await buildConsole((line) => log(line, 'console'));
  const stack = await startStack({
    dataDir,
    ...(values.port === undefined ? {} : { apiPort: wholeNumber('--port', values.port) }),
    dispatchers: wholeNumber('--dispatchers', values.dispatchers),
    demoMiner: values.miner,
    exitOnSignals: true,
    log,
  });
  console.log(welcome(stack, dataDir, hasConsole));
}

function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new CannotStart(`${option} takes a whole number, not ${text}`);
  return Number(text);
}

function welcome({ url, keys, broker, rows }: Stack, dataDir: string, hasConsole: boolean): string {
  const production = process.env.NODE_ENV === 'production';
  const bold = (text: string) => styleText('bold', text, { stream: process.stdout });
  const key = production ? '$CLIENT_KEY' : (keys.client ?? '$CLIENT_KEY');
  const header = `-H "X-Api-Key: ${key}"`;
  const job = '{"job_type":"language_detection","parameters":{"text":"Wo ist der Bahnhof?"}}';
  const shownKeys = production
    ? []
    : Object.entries(keys).map(([name, value]) => `  ${`${name} key`.padEnd(12)}${value}`);
  return [
    '',
    `${bold('AITBC coordinator is ready')}`,
    ...(hasConsole ? [`  console     ${bold(`${url}/`)}`] : []),
    `  API         ${bold(url)}`,
    `  docs        ${url}/docs`,
    ...shownKeys,
    `  data        ${rows}`,
    ...(rows === dataDir ? [] : [`  keys        ${dataDir}`]),
    `  broker      ${broker.kind}`,
    ...(broker.banner ? [`              ${broker.banner}`] : []),
    '',
    `${bold('Submit a job')}, then ${bold('read it')}:`,
    `  curl -s ${url}/v1/client/jobs ${header} -H 'Content-Type: application/json' -d '${job}'`,
    `  curl -s '${url}/v1/client/jobs?limit=1' ${header}`,
    '',
    'Ctrl-C stops everything; the data stays.',
    '',
  ].join('\n');
}

main().catch((error: Error) => {
  const known =
    error instanceof CannotStart || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE');
  console.error(known ? error.message : error);
  process.exitCode = error instanceof CannotStart ? error.exitCode : 1;
});
