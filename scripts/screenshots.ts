// `npm run screenshots`: every page of the console in both themes, narrow and wide, as pictures in docs/console.
// `npm run screenshots -- job settings`: these alone.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type BrowserContext, chromium } from 'playwright-core';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';
import { Aitbc } from '../clients/sdk/src/index.ts';
import { CHROMIUM, CHROMIUM_ARGUMENTS } from '../tests/browser/chromium.ts';
import { buildConsole } from './console.ts';
import { CannotStart, type Stack, startStack } from './stack.ts';

const root = resolve(import.meta.dirname, '..');
const folder = join(root, 'docs/console');
const SIZES = [
  { width: 360, height: 740 },
  { width: 1_440, height: 900 },
];
const THEMES = ['light', 'dark'] as const;
const LOADED_MS = 60_000;

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Something to see: an account with money, jobs of two types, one that waits, and one that failed. */
const furnish = async (stack: Stack): Promise<{ ocr: string; waiting: string; hash: string }> => {
  const baseUrl = stack.url;
  const client = new Aitbc({ baseUrl, apiKey: stack.keys.client });
  const admin = new Aitbc({ baseUrl, apiKey: stack.keys.admin });
  const { user_id } = await client.account.me();
  await admin.admin.credit(user_id, { amount: 100, reason: 'for the pictures' });
  const picture = readFileSync(join(root, 'clients/miner/fixtures/invoice.png')).toString('base64');
  const ocr = await client.jobs.run(
    'ocr',
    { image_base64: picture },
    { payment_amount: 0.25, labels: ['invoices'] },
  );
  const texts = [
    'Wo ist der Bahnhof?',
    'Où est la bibliothèque ?',
    'The quick brown fox jumps.',
    'Dove si trova il museo?',
  ];
  for (const text of texts)
    await client.jobs.run('language_detection', { text }, { payment_amount: 0.01, labels: ['letters'] });
  const waiting = await client.jobs.submit('embedding', { model: 'nomic-embed-text', input: 'a text' }, {});
  const cancelled = await client.jobs.submit(
    'embedding',
    { model: 'nomic-embed-text', input: 'another' },
    {},
  );
  await client.jobs.cancel(cancelled.id);
  // The payment of the first job is in a block by now, or within seconds.
  for (;;) {
    const payment = await client.payments.ofJob(ocr.id);
    if (payment.transaction_hash !== null && payment.status === 'released') {
      const { block_height } = await client.explorer.transaction(payment.transaction_hash);
      if (block_height !== null) return { ocr: ocr.id, waiting: waiting.id, hash: payment.transaction_hash };
    }
    await pause(500);
  }
};

/** GPUs on offer; one of them was had and reviewed, is booked now and later, and changed its price. @returns its id */
const furnishMarket = async ({ url: baseUrl, keys }: Stack): Promise<string> => {
  const owner = new Aitbc({ baseUrl, apiKey: keys.miner }).gpus;
  const client = new Aitbc({ baseUrl, apiKey: keys.client }).gpus;
  const offers = [
    ['RTX 4090', 24, 'eu-central', 0.42],
    ['RTX 3090', 24, 'eu-north', 0.2],
    ['A100', 80, 'us-east', 1.6],
    ['H100', 80, 'us-east', 2.85],
    ['RTX 4060 Ti', 16, 'ap-south', 0.11],
    ['RTX 4090', 24, 'us-west', 0.5],
  ] as const;
  const ids: string[] = [];
  for (const [model, memory_gb, region, price_per_hour] of offers) {
    const { id } = await owner.offer({
      model,
      memory_gb,
      region,
      price_per_hour,
      cuda_version: '12.4',
      pricing: model === 'A100' ? 'dynamic' : 'fixed',
    });
    ids.push(id);
  }
  const gpu = ids.at(-1) as string;
  await client.book(gpu, { duration_hours: 1 });
  await client.release(gpu);
  await client.review(gpu, { rating: 4, comment: 'There at once, and as fast as it says. A little warm.' });
  for (const price_per_hour of [0.55, 0.48, 0.45, 0.52]) {
    await pause(2_000);
    await owner.change(gpu, { price_per_hour });
  }
  const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
  await client.book(gpu, { duration_hours: 5 });
  await client.book(gpu, { duration_hours: 30, start_time: inHours(40) });
  await client.book(gpu, { duration_hours: 8, start_time: inHours(101) });
  return gpu;
};

/** Somebody who signed in with a wallet. @returns the session */
const signIn = async (baseUrl: string): Promise<string> => {
  const wallet = privateKeyToAccount(generatePrivateKey());
  const { account } = new Aitbc({ baseUrl });
  const { message } = await account.challenge({ wallet_address: wallet.address });
  const signature = await wallet.signMessage({ message });
  return (await account.login({ wallet_address: wallet.address, message, signature })).session_token;
};

/** Three holders, and two proposals that some of them voted on. @returns the session of one who did not yet, and a proposal */
const furnishVotes = async ({
  url: baseUrl,
  keys,
}: Stack): Promise<{ session: string; proposal: string }> => {
  const admin = new Aitbc({ baseUrl, apiKey: keys.admin });
  const sessions = await Promise.all([signIn(baseUrl), signIn(baseUrl), signIn(baseUrl)]);
  const holders = sessions.map((sessionToken) => new Aitbc({ baseUrl, sessionToken }));
  const [first, second] = holders as [Aitbc, Aitbc, Aitbc];
  for (const [at, holder] of holders.entries()) {
    const { user_id } = await holder.account.me();
    await admin.admin.credit(user_id, { amount: 400 * (at + 1), reason: 'to vote with' });
    while ((await holder.governance.votingPower(user_id)).voting_power === 0) await pause(500);
  }
  await first.governance.propose({
    type: 'policy_change',
    title: 'How long operators keep their logs',
    description:
      'Today nothing says how long. A month is long enough to find a fault, and short enough for peace of mind.',
    target: { policy: 'Keeping of logs', text: 'Logs are deleted after thirty days.' },
  });
  const { id } = await first.governance.propose({
    type: 'parameter_change',
    title: 'A lower fee for the platform',
    description:
      'The treasury has what it needs for two years. A lower fee brings miners, and what they earn comes back as work.',
    target: { parameter: 'platform_fee_basis_points', value: 200 },
  });
  await first.governance.vote({ proposal_id: id, vote: 'for', reason: 'Two years are enough.' });
  await second.governance.vote({ proposal_id: id, vote: 'against', reason: 'Let us wait for the audit.' });
  return { session: sessions[2] as string, proposal: id };
};

/** Somebody with a wallet, a key and a webhook. @returns the session, and the webhook */
const furnishUser = async (baseUrl: string): Promise<{ session: string; webhook: string }> => {
  const session_token = await signIn(baseUrl);
  const user = new Aitbc({ baseUrl, sessionToken: session_token });
  await user.account.keys.create({ label: 'render farm', scopes: ['client'], spend_cap: 50 });
  await user.account.keys.create({ label: 'the box under the desk', scopes: ['miner'] });
  const { id } = await user.webhooks.create({
    url: 'https://example.org/hooks/aitbc',
    events: ['job.completed', 'job.failed'],
    description: 'the shop',
  });
  return { session: session_token, webhook: id };
};

const take = async (context: BrowserContext, url: string, name: string): Promise<void> => {
  const page = await context.newPage();
  page.setDefaultTimeout(LOADED_MS);
  page.on('pageerror', (error) => console.error(`${name}: ${error}`));
  page.on('console', (message) => {
    if (message.type() === 'error') console.error(`${name}: ${message.text()}`);
  });
  await page.goto(url);
  await page.locator('h1').first().waitFor();
  // Nothing is loading any more, and nothing that appears late moves what is there.
  while ((await page.locator('.bone').count()) > 0) await page.waitForTimeout(100);
  await page.waitForTimeout(400);
  await page.screenshot({ path: join(folder, `${name}.png`), animations: 'disabled' });
  await page.close();
};

async function main(): Promise<void> {
  if (CHROMIUM === undefined)
    throw new CannotStart('There is no Chromium here: apt-get install chromium, or set CHROMIUM_PATH.');
  await buildConsole(console.log);
  const dataDir = mkdtempSync(join(tmpdir(), 'aitbc-screenshots-'));
  const stack = await startStack({
    dataDir,
    apiHost: '127.0.0.1',
    apiPort: 0,
    dispatchers: 1,
    exitOnSignals: true,
    extraEnv: { RATE_LIMIT_CLIENT_PER_MINUTE: '100000', RATE_LIMIT_USER_PER_MINUTE: '100000', REDIS_URL: '' },
    log: () => {},
  });
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGUMENTS });
  try {
    const { ocr, waiting, hash } = await furnish(stack);
    const { session, webhook } = await furnishUser(stack.url);
    const gpu = await furnishMarket(stack);
    const holder = await furnishVotes(stack);
    const pages = [
      ['welcome', '/', false],
      ['sign-in', '/sign-in', false],
      ['home', '/', true],
      ['jobs', '/jobs', true],
      ['job', `/jobs/${ocr}`, true],
      ['job-waiting', `/jobs/${waiting}`, true],
      ['playground', '/playground?type=ocr', true],
      ['wallet', '/wallet', true],
      ['explorer', '/explorer', false],
      ['transfer', `/explorer/transactions/${hash}`, false],
      ['miners', '/miners', false],
      ['market', '/market', false],
      ['market-table', '/market?as=table&sort=price', false],
      ['gpu', `/market/${gpu}`, true],
      ['bookings', '/market?part=bookings', true],
      ['governance', '/governance', false],
      ['parameters', '/governance?part=parameters', false],
    ] as const;
    const ofOthers = [
      [{ kind: 'session', secret: session }, 'settings', '/settings'],
      [{ kind: 'session', secret: session }, 'webhook', `/settings/webhooks/${webhook}`],
      [{ kind: 'key', secret: stack.keys.miner }, 'offers', '/market?part=offers'],
      [{ kind: 'session', secret: holder.session }, 'proposal', `/governance/${holder.proposal}`],
      [{ kind: 'session', secret: holder.session }, 'propose', '/governance?part=propose'],
      [{ kind: 'key', secret: stack.keys.admin }, 'operator', '/operator'],
      [{ kind: 'key', secret: stack.keys.admin }, 'operator-accounts', '/operator?part=accounts'],
      [{ kind: 'key', secret: stack.keys.admin }, 'operator-parameters', '/operator?part=parameters'],
      [{ kind: 'key', secret: stack.keys.admin }, 'operator-audit', '/operator?part=audit'],
    ] as const;
    const only = process.argv.slice(2);
    const isWanted = (name: string) => only.length === 0 || only.includes(name);
    mkdirSync(folder, { recursive: true });
    const secret = JSON.stringify({ kind: 'key', secret: stack.keys.client });
    for (const viewport of SIZES)
      for (const colorScheme of THEMES) {
        for (const isSignedIn of [false, true]) {
          const context = await browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
          if (isSignedIn)
            await context.addInitScript((text) => sessionStorage.setItem('aitbc.credential', text), secret);
          for (const [name, path, needsKey] of pages)
            if (needsKey === isSignedIn && isWanted(name))
              await take(context, stack.url + path, `${name}-${viewport.width}-${colorScheme}`);
          await context.close();
        }
        for (const [credential, name, path] of ofOthers.filter(([, each]) => isWanted(each))) {
          const context = await browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
          await context.addInitScript(
            (text) => sessionStorage.setItem('aitbc.credential', text),
            JSON.stringify(credential),
          );
          await take(context, stack.url + path, `${name}-${viewport.width}-${colorScheme}`);
          await context.close();
        }
      }
    console.log(`The pictures are in ${folder}.`);
  } finally {
    await browser.close();
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
}

main().catch((error: Error) => {
  console.error(error instanceof CannotStart ? error.message : error);
  process.exitCode = 1;
});
