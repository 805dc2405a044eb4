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
    await new Promise((done) => setTimeout(done, 500));
  }
};

/** Somebody with a wallet, a key and a webhook. @returns the session, and the webhook */
const furnishUser = async (baseUrl: string): Promise<{ session: string; webhook: string }> => {
  const wallet = privateKeyToAccount(generatePrivateKey());
  const { account } = new Aitbc({ baseUrl });
  const { message } = await account.challenge({ wallet_address: wallet.address });
  const signature = await wallet.signMessage({ message });
  const { session_token } = await account.login({ wallet_address: wallet.address, message, signature });
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
    ] as const;
    const ofOthers = [
      [{ kind: 'session', secret: session }, 'settings', '/settings'],
      [{ kind: 'session', secret: session }, 'webhook', `/settings/webhooks/${webhook}`],
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
