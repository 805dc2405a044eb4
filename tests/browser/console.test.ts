import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { routes } from '@aitbc/contracts';
import { type Browser, chromium, type Page } from 'playwright-core';
import { privateKeyToAccount } from 'viem/accounts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildConsole } from '../../scripts/console.ts';
import { type Coordinator, must, STARTING_MS, startCoordinator } from '../coordinator.ts';
import { CHROMIUM, CHROMIUM_ARGUMENTS } from './chromium.ts';
import { governanceStory } from './governance-story.ts';
import { marketStory } from './market-story.ts';
import { deadLetterStory, deadMinerStory } from './operator-story.ts';
import { keysStory, webhookStory } from './settings-story.ts';
import { walletStory } from './wallet-story.ts';

// What people do in the console, before a whole coordinator with a miner.

const inBrowser = test.skipIf(CHROMIUM === undefined);
const because =
  CHROMIUM === undefined ? ' (skipped: no Chromium here; apt-get install chromium, or CHROMIUM_PATH)' : '';
const SLOW_MS = 60_000;
const FIRST_LOAD_MAX = 170_000;
const repository = join(import.meta.dirname, '../..');
const picture = join(repository, 'clients/miner/fixtures/invoice.png');

let coordinator: Coordinator;
let browser: Browser;
beforeAll(async () => {
  if (CHROMIUM === undefined) return;
  await buildConsole(() => {});
  coordinator = await startCoordinator({
    demoMiner: true,
    // A voting day and the timelock of a day are eight seconds each; a booking of a month lasts four minutes.
    env: { BUSINESS_TIME_SCALE: '10800' },
  });
  browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGUMENTS });
}, STARTING_MS + SLOW_MS);
afterAll(async () => {
  await browser?.close();
  await coordinator?.stop();
});

const visit = async (path: string): Promise<{ page: Page; hosts: Set<string> }> => {
  const context = await browser.newContext({ reducedMotion: 'reduce' });
  context.setDefaultTimeout(SLOW_MS);
  context.setDefaultNavigationTimeout(SLOW_MS);
  const page = await context.newPage();
  const hosts = new Set<string>();
  page.on('request', (request) => {
    if (request.url().startsWith('http')) hosts.add(new URL(request.url()).host);
  });
  await page.goto(coordinator.url + path);
  return { page, hosts };
};

test('what a browser loads first is small', { timeout: 2 * SLOW_MS }, async () => {
  await buildConsole(() => {});
  const dist = join(repository, 'clients/console/dist');
  const manifest = JSON.parse(readFileSync(join(dist, 'manifest.json'), 'utf8')) as Record<
    string,
    { file: string; imports?: string[]; isEntry?: boolean }
  >;
  const files = new Set<string>();
  const add = (name: string): void => {
    const { file, imports = [] } = manifest[name] as (typeof manifest)[string];
    if (files.has(file)) return;
    files.add(file);
    for (const each of imports) add(each);
  };
  // The page itself, the first page's own code, and its chart.
  for (const name of ['index.html', 'src/pages/home/home.tsx', 'src/parts/chart.tsx']) add(name);
  const bytes = [...files].reduce(
    (sum, file) => sum + gzipSync(readFileSync(join(dist, file)), { level: 9 }).length,
    0,
  );
  expect(bytes).toBeLessThan(FIRST_LOAD_MAX);
  const html = readFileSync(join(dist, 'index.html'), 'utf8');
  expect(html).not.toMatch(/<style|<script(?![^>]*\bsrc=)|\bon[a-z]+=|\bstyle=/);
});

inBrowser(
  `who comes for the first time signs in with a key, and reads a picture; its receipt leads to the block${because}`,
  { timeout: 5 * SLOW_MS },
  async () => {
    const { id, key } = await coordinator.newAccount(['client']);
    must(
      await coordinator.admin.call(routes.payments.credit, {
        params: { account_id: id },
        body: { amount: 5, reason: 'to try it' },
      }),
    );
    const { page, hosts } = await visit('/');
    await page.getByRole('link', { name: 'Open the playground' }).click();
    await page.getByRole('radio', { name: 'Read a picture' }).check();
    await page.getByRole('link', { name: 'Sign in to send it' }).click();
    await page.getByLabel('API key').fill(key);
    await page.getByRole('button', { name: 'Sign in with the key' }).click();
    // Signing in leads back to where one was.
    await page.locator('input[type=file]').setInputFiles(picture);
    await page.getByLabel('Pays, in AITBC').fill('0.25');
    await page.getByRole('button', { name: 'Send it' }).click();
    await page
      .getByRole('region', { name: 'the text' })
      .getByText('INVOICE 2041')
      .waitFor({ timeout: 2 * SLOW_MS });

    await page.getByRole('link', { name: 'Its page, with receipt and proof' }).click();
    // A frame around each word of the picture.
    await expect.poll(() => page.locator('.word-boxes rect').count(), { timeout: SLOW_MS }).toBe(25);
    const proof = page.locator('.chain');
    // Receipt, block and Merkle proof: each by arithmetic in this browser.
    await expect
      .poll(() => proof.getByText('checked', { exact: true }).count(), { timeout: SLOW_MS })
      .toBe(3);
    expect(await proof.getByText('wrong').count()).toBe(0);
    await page.getByRole('link', { name: 'Open the block' }).click();
    await page.getByText('checked here').waitFor();
    expect(hosts).toEqual(new Set([new URL(coordinator.url).host]));
    await page.context().close();
  },
);

/** A page of a browser that has a wallet, signed in with it. */
const visitWithWallet = async (): Promise<Page> => {
  const account = privateKeyToAccount(`0x${'5a'.repeat(32)}`);
  const context = await browser.newContext({ reducedMotion: 'reduce' });
  context.setDefaultTimeout(SLOW_MS);
  await context.exposeFunction('signForTest', (hex: `0x${string}`) =>
    account.signMessage({ message: { raw: hex } }),
  );
  await context.addInitScript(`
    const provider = { request: async ({ method, params }) =>
      method === 'eth_requestAccounts' ? ['${account.address}'] : window.signForTest(params[0]) };
    const detail = Object.freeze({ info: { uuid: 'w', name: 'Wallet of the test', icon: '', rdns: 't' }, provider });
    const announce = () => window.dispatchEvent(new CustomEvent('eip6963:announceProvider', { detail }));
    window.addEventListener('eip6963:requestProvider', announce);
  `);
  const page = await context.newPage();
  await page.goto(`${coordinator.url}/sign-in`);
  await page.getByRole('button', { name: 'Wallet of the test' }).click();
  await page.getByText('Your balance').waitFor();
  // On the page before, a title says so too.
  await page.getByText('with a wallet').waitFor();
  expect(page.url()).toBe(`${coordinator.url}/`);
  return page;
};

inBrowser(
  `a user makes, replaces and revokes a key, is told of a job by a webhook, and ends all sessions${because}`,
  { timeout: 5 * SLOW_MS },
  async () => {
    const page = await visitWithWallet();
    await keysStory(page, coordinator);
    await webhookStory(page, coordinator);
    await page.context().close();
  },
);

inBrowser(
  `somebody buys tokens with bitcoin until they are credited, and sends some${because}`,
  { timeout: 5 * SLOW_MS },
  async () => {
    const { page } = await visit('/wallet');
    await page.getByText('Sign in to see your wallet').waitFor();
    await walletStory(page, coordinator);
    await page.context().close();
  },
);

// Side by side: the second waits for days of business time.
describe.concurrent('the market and votes', () => {
  inBrowser(
    `a GPU is offered, booked, extended and given back, and the money is seen to come back${because}`,
    { timeout: 5 * SLOW_MS },
    async () => {
      const { page } = await visit('/market');
      await page.getByText('No GPU is on offer yet').waitFor();
      await marketStory(page, coordinator);
      await page.context().close();
    },
  );
  inBrowser(
    `somebody proposes a change, votes, and sees it executed${because}`,
    { timeout: 5 * SLOW_MS },
    async () => {
      const { page } = await visit('/governance');
      await page.getByText('No proposal yet').waitFor();
      await governanceStory(page, coordinator);
      await page.context().close();
    },
  );
});

inBrowser(`an operator finds a dead letter and replays it${because}`, { timeout: 5 * SLOW_MS }, async () => {
  const { page } = await visit('/operator');
  await page.getByText('Sign in to see how the coordinator is').waitFor();
  await deadLetterStory(page, coordinator);
  await page.context().close();
});

inBrowser(
  `a miner dies with a job in hand, and its page tells it${because}`,
  { timeout: 5 * SLOW_MS },
  async () => {
    const { page } = await visit('/');
    await deadMinerStory(page, coordinator);
    await page.context().close();
  },
);

inBrowser(
  `a wallet that the browser announces signs in, and the page comes back by itself after the gateway was gone${because}`,
  { timeout: 5 * SLOW_MS },
  async () => {
    const page = await visitWithWallet();
    // A new one is there within a second, and the page asks every few: so it is killed until the page has noticed.
    // All of it: while the services are not there yet, a card may say that a part of the coordinator does not answer.
    const notice = page.getByText('The coordinator does not answer. This page tries again by itself.');
    const killed = () => {
      coordinator.stack.kill('gateway', 'SIGKILL');
      return notice.isVisible();
    };
    await expect.poll(killed, { timeout: SLOW_MS, interval: 500 }).toBe(true);
    await notice.waitFor({ state: 'detached', timeout: 2 * SLOW_MS });
    // Still signed in: a session outlives the process.
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Sign in', exact: true }).waitFor();
    await page.context().close();
  },
);
