import { routes } from '@aitbc/contracts';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Coordinator, must, startCoordinator } from '../coordinator.ts';
import { CHROMIUM, CHROMIUM_ARGUMENTS } from './chromium.ts';

// The pages in a real browser that may reach nothing but the coordinator.

const inBrowser = test.skipIf(CHROMIUM === undefined);
const because =
  CHROMIUM === undefined ? ' (skipped: no Chromium here; apt-get install chromium, or CHROMIUM_PATH)' : '';

/** Two cores may have much else to do; a page that is right waits for nothing. */
const SLOW_MS = 60_000;

let coordinator: Coordinator;
let browser: Browser;
beforeAll(async () => {
  if (CHROMIUM === undefined) return;
  coordinator = await startCoordinator();
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: CHROMIUM_ARGUMENTS,
  });
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await coordinator?.stop();
});

interface Visit {
  readonly page: Page;
  /** What went wrong on the page. */
  readonly errors: string[];
  /** Hosts that were asked for anything. */
  readonly hosts: Set<string>;
}

const visit = async (path: string, options: BrowserContextOptions = {}): Promise<Visit> => {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(SLOW_MS);
  context.setDefaultNavigationTimeout(SLOW_MS);
  const page = await context.newPage();
  const errors: string[] = [];
  const hosts = new Set<string>();
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('response', (response) => {
    const url = new URL(response.url());
    if (url.protocol.startsWith('http')) hosts.add(url.host);
    if (response.status() >= 400) errors.push(`${response.status()} ${url.pathname}`);
  });
  await page.goto(coordinator.url + path);
  return { page, errors, hosts };
};
const ourHost = () => new Set([new URL(coordinator.url).host]);

inBrowser(
  `Swagger UI shows the API, and "try it out" with a key submits a job${because}`,
  { timeout: 3 * SLOW_MS },
  async () => {
    const { page, errors, hosts } = await visit('/docs');
    await page.getByRole('button', { name: 'Authorize' }).click();
    const dialog = page.locator('.modal-ux');
    await dialog.locator('input').first().fill(coordinator.keys.client);
    await dialog.getByRole('button', { name: 'Apply credentials' }).first().click();
    await dialog.getByRole('button', { name: 'Close' }).first().click();

    await page.locator('#operations-tag-Jobs').click();
    const submit = page.locator('.opblock-post', { has: page.locator('[data-path="/v1/client/jobs"]') });
    await submit.locator('.opblock-summary-control').click();
    await submit.getByRole('button', { name: 'Try it out' }).click();
    const text = `Guten Morgen ${Date.now()}`;
    await submit
      .locator('textarea.body-param__text')
      .fill(JSON.stringify({ job_type: 'language_detection', parameters: { text } }));
    await submit.getByRole('button', { name: 'Execute' }).click();
    const status = submit.locator('.live-responses-table .response-col_status').nth(1);
    await status.waitFor();
    expect(await status.textContent()).toContain('201');

    const { items } = must(await coordinator.client.call(routes.jobs.list, { query: { limit: 1 } }));
    expect(items[0]).toMatchObject({ job_type: 'language_detection', parameters: { text } });
    expect(errors).toEqual([]);
    expect(hosts).toEqual(ourHost());
    // The key is gone with the page.
    expect(
      await page.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])'),
    ).not.toContain(coordinator.keys.client);
    await page.context().close();
  },
);

inBrowser(
  `ReDoc shows every operation, and its search finds one${because}`,
  { timeout: 3 * SLOW_MS },
  async () => {
    const { page, errors, hosts } = await visit('/redoc');
    await page.getByRole('heading', { name: 'AITBC coordinator' }).waitFor();
    await page.getByText('Submit a job', { exact: true }).first().waitFor({ state: 'attached' });
    await page.getByRole('textbox').first().fill('conduct a vote execute proposal');
    await page.locator('[data-role="search:results"] li').first().waitFor();
    // The maker's picture on another host is the one thing that the policy keeps away.
    expect(errors.filter((error) => !error.includes('redoc/logo-mini.svg'))).toEqual([]);
    expect(hosts).toEqual(ourHost());
    await page.context().close();
  },
);

inBrowser(
  `the mailboxes are shown to an operator who gives the key as a password${because}`,
  { timeout: 3 * SLOW_MS },
  async () => {
    const { page, hosts } = await visit('/admin/queues', {
      httpCredentials: { username: 'operator', password: coordinator.keys.admin },
    });
    await page.getByText('jobs-inbox').first().waitFor();
    await page.getByText('dispatcher-inbox').first().waitFor();
    expect(hosts).toEqual(ourHost());
    await page.context().close();
  },
);
