// `npm run demo`: the whole system, two real jobs, and their money, each step shown as it happens.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import {
  type Client,
  createClient,
  jobsRoutes,
  paymentsRoutes,
  routes,
} from '../libs/contracts/src/index.ts';
import { isIncluded } from '../libs/contracts/src/ledger.ts';
import { findModelServer, HOW_TO_GET_ONE, streamChat } from './demo-chat.ts';
import { CannotStart, startStack } from './stack.ts';

const help = `npm run demo -- [options]     starts the coordinator, runs a paid OCR job and a paid language detection,
                              and streams a paid chat when a model server is found

  --data-dir PATH   default .data/demo
  --keep            leave it running afterwards, until Ctrl-C
  --help            this text`;

const PRICE = 0.25;
const CREDIT = 10;
const JOB_SECONDS_MAX = 120;

const { values } = parseArgs({
  options: {
    'data-dir': { type: 'string', default: '.data/demo' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const paint = (style: 'bold' | 'green' | 'dim', text: string) =>
  styleText(style, text, { stream: process.stdout });
const done = (what: string, detail = '') =>
  console.log(`${paint('green', '✓')} ${what}  ${paint('dim', detail)}`);
const progress = (text: string) => {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[2K  ${text}`);
};
const clearProgress = () => {
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[2K');
};
const title = (text: string) => console.log(`\n${paint('bold', text)}`);

/** The body of a good answer; anything else ends the demo with the coordinator's own words. */
const body = <R extends { ok: boolean; status: number; body: unknown }>(
  reply: R,
): Extract<R, { ok: true }>['body'] => {
  if (!reply.ok) throw new Error(`answered ${reply.status}: ${JSON.stringify(reply.body)}`);
  return reply.body as Extract<R, { ok: true }>['body'];
};

/** Asks until `probe` gives an answer; each answer is asked for, none assumed. */
const until = async <T>(what: string, probe: () => Promise<T | undefined>): Promise<T> => {
  const deadline = performance.now() + JOB_SECONDS_MAX * 1_000;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`${what} did not happen within ${JOB_SECONDS_MAX} s`);
    await new Promise((resume) => setTimeout(resume, 100));
  }
};

const bar = (share: number) =>
  `${'█'.repeat(Math.round(share * 24)).padEnd(24, '░')} ${Math.round(share * 100)} %`;

const runJob = async (client: Client, jobType: string, parameters: Record<string, unknown>) => {
  const job = body(
    await client.call(jobsRoutes.submit, {
      body: { job_type: jobType, parameters, payment_amount: PRICE },
    }),
  );
  done('submitted', `job ${job.id}, ${PRICE} AITBC offered`);
  let shown = '';
  const final = await until(`the end of ${jobType}`, async () => {
    const status = body(
      await client.call(jobsRoutes.status, { params: { job_id: job.id }, query: { wait_seconds: 2 } }),
    );
    const line = `${status.status.padEnd(9)} ${bar(status.progress)} ${status.waiting_reason ?? ''}`;
    if (line !== shown) progress(line);
    shown = line;
    return ['pending', 'running'].includes(status.status) ? undefined : status;
  });
  clearProgress();
  if (final.status !== 'completed')
    throw new Error(`the job ended as ${final.status}: ${JSON.stringify(final.error)}`);
  const finished = body(await client.call(jobsRoutes.get, { params: { job_id: job.id } }));
  done('completed', `by miner ${finished.miner_id} in ${finished.metrics.run_ms} ms`);
  return finished;
};

const checkReceipt = async (client: Client, jobId: string) => {
  const [receipt] = body(await client.call(jobsRoutes.receipts, { params: { job_id: jobId } })).items;
  if (receipt === undefined) throw new Error('no receipt');
  const keys = body(await client.call(jobsRoutes.jwks, {}));
  // From here on the coordinator is not asked: anyone with the receipt and the published key can do this.
  const { payload } = await jwtVerify(receipt.proof, createLocalJWKSet(keys as JSONWebKeySet));
  if (payload.job_id !== jobId) throw new Error('the receipt is of another job');
  done(
    'receipt verified offline',
    `${receipt.id}, result sha256 ${String(payload.result_sha256).slice(0, 16)}…`,
  );
};

const checkMoney = async (client: Client, jobId: string) => {
  const payment = await until('the release of the escrow', async () => {
    const reply = body(await client.call(paymentsRoutes.getByJob, { params: { job_id: jobId } }));
    return reply.status === 'released' ? reply : undefined;
  });
  done('escrow released', `${payment.amount} AITBC, of which ${payment.fee} fee`);
  const hash = payment.transaction_hash as string;
  const transaction = await until('a sealed block', async () => {
    const reply = body(await client.call(paymentsRoutes.transaction, { params: { hash } }));
    return reply.block_height === null ? undefined : reply;
  });
  const proof = body(await client.call(paymentsRoutes.proof, { params: { hash } }));
  const block = body(
    await client.call(paymentsRoutes.block, { params: { height: transaction.block_height as number } }),
  );
  const isProven = isIncluded(
    Buffer.from(hash, 'hex'),
    proof.index,
    proof.tx_count,
    proof.path.map((node) => Buffer.from(node, 'hex')),
    Buffer.from(block.merkle_root, 'hex'),
  );
  if (!isProven) throw new Error('the Merkle proof does not lead to the block');
  done(`in block ${block.height}, Merkle proof checked offline`, `${block.hash.slice(0, 16)}…`);
};

const chat = async (client: Client, url: string, key: string, server: string) => {
  const model = await until('a miner with a language model', async () => {
    const { data } = body(await client.call(routes.jobs.models, {}));
    return data.find(({ aitbc }) => aitbc.kinds.includes('chat'))?.id;
  });
  const content = 'In two sentences: why is the sky blue?';
  console.log(`  ${model} at ${server}: “${content}”\n`);
  process.stdout.write('  ');
  const said = await streamChat(url, key, { model: `${model}@${PRICE}`, content }, (text) =>
    process.stdout.write(text.replaceAll('\n', '\n  ')),
  );
  console.log('\n');
  done(
    'streamed',
    `first word after ${Math.round(said.firstTokenMs)} ms, ${said.tokens ?? 'uncounted'} tokens, job ${said.jobId}`,
  );
  await checkReceipt(client, said.jobId);
  await checkMoney(client, said.jobId);
};

const main = async (): Promise<void> => {
  const modelServer = await findModelServer(process.env.AITBC_LLM_URL);
  title('Starting the coordinator');
  const stack = await startStack({
    dataDir: resolve(import.meta.dirname, '..', values['data-dir']),
    exitOnSignals: true,
    apiPort: 0,
    extraEnv: {
      LOG_LEVEL: 'warn',
      ...(modelServer === undefined ? {} : { AITBC_LLM_URL: modelServer.url }),
    },
    log: (line, name) => {
      if (line.startsWith('ready')) progress(`${name ?? ''} ${line}`);
    },
  });
  clearProgress();
  try {
    done('running', `${stack.url}, docs at ${stack.url}/docs, broker ${stack.broker.kind}`);
    const { client: clientKey, admin: adminKey } = stack.keys;
    if (clientKey === undefined || adminKey === undefined)
      throw new CannotStart('the demo needs a client and an admin key');
    const client = createClient(stack.url, { 'x-api-key': clientKey });
    const admin = createClient(stack.url, { 'x-api-key': adminKey });

    title('Funding the client');
    const me = body(await client.call(routes.gateway.me, {}));
    body(
      await admin.call(paymentsRoutes.credit, {
        params: { account_id: me.user_id },
        body: { amount: CREDIT, reason: 'demo' },
      }),
    );
    const balance = body(await client.call(paymentsRoutes.balance, { params: { user_id: me.user_id } }));
    done(`credited ${CREDIT} AITBC from the mint`, `available now: ${balance.available}`);

    title('Language detection');
    const text = 'Wer den Pfennig nicht ehrt, ist des Talers nicht wert.';
    console.log(`  “${text}”`);
    const detected = await runJob(client, 'language_detection', { text });
    console.log(`  ${JSON.stringify(detected.result)}`);
    await checkReceipt(client, detected.id);
    await checkMoney(client, detected.id);

    title('Reading a picture (OCR)');
    const picture = join(import.meta.dirname, '..', 'clients', 'miner', 'fixtures', 'invoice.png');
    console.log(`  ${picture}`);
    const read = await runJob(client, 'ocr', {
      image_base64: readFileSync(picture).toString('base64'),
      language: 'eng',
    });
    for (const line of String((read.result as { text: string }).text)
      .trim()
      .split('\n'))
      console.log(`  │ ${line}`);
    await checkReceipt(client, read.id);
    await checkMoney(client, read.id);

    title('A streamed chat, as any OpenAI client asks for it');
    if (modelServer === undefined) console.log(HOW_TO_GET_ONE);
    else await chat(client, stack.url, clientKey, modelServer.name);

    title('Where the money is');
    const after = body(await client.call(paymentsRoutes.balance, { params: { user_id: me.user_id } }));
    done('client', `${after.available} AITBC available, ${after.held} held`);
    const address = body(await client.call(paymentsRoutes.address, { params: { address: after.address } }));
    done(`${address.tx_count} transactions at ${address.address}`);
    if (values.keep) {
      title(`Left running at ${stack.url}; Ctrl-C ends it. Client key: ${clientKey}`);
      return;
    }
    console.log(`\nCheck the whole chain yourself: npm start, then npm run verify -- --from 0`);
    await stack.stop();
  } catch (error) {
    await stack.stop();
    throw error;
  }
};

if (values.help) console.log(help);
else
  main().catch((error: Error) => {
    console.error(error instanceof CannotStart ? error.message : error);
    process.exitCode = 1;
  });
