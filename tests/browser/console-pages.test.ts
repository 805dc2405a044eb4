import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Result } from 'axe-core';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildConsole } from '../../scripts/console.ts';
import { KEYS, startTestGateway, type TestGateway } from '../../services/gateway/src/testing/gateway.ts';
import { CHROMIUM, CHROMIUM_ARGUMENTS } from './chromium.ts';
import { answerConsole, GPU, JOBS, MANY, PROPOSALS } from './console-answers.ts';
import { answerAsGateway, WEBHOOK } from './gateway-answers.ts';

// Each page of the console in a real browser, before services that say the worst that strangers could have written.

const because =
  CHROMIUM === undefined ? ' (skipped: no Chromium here; apt-get install chromium, or CHROMIUM_PATH)' : '';
const SLOW_MS = 60_000;
/** What Web Vitals call good: hardly anything that is seen moves. */
const MOVED_MAX = 0.1;
/** Until all of the first page stands there, from nothing. On loopback the rest is no time. */
const FIRST_PAGE_MS = 1_000;
/** A screenful is 16 rows, and a dozen stand ready before and after it. */
const ROWS_MAX = 80;
/** Half a screen at once, fifty times: up through a thousand rows. */
const FRAMES = 50;
const SCROLLED_PX = 900;
/** By the definition of long tasks. */
const LONG_FRAME_MS = 50;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const PUBLIC = [
  '/',
  '/sign-in',
  '/playground',
  '/jobs',
  '/miners',
  '/explorer',
  '/explorer/blocks/1234567',
  `/explorer/transactions/${'a'.repeat(64)}`,
  '/explorer/addresses/escrow-of-someone',
  '/market',
  '/market?as=table&sort=price&free=true',
  `/market/${GPU}`,
  '/governance',
  '/governance?part=parameters',
  `/governance/${PROPOSALS.executed}`,
  `/governance/${PROPOSALS.cancelled}`,
  '/no-such-page',
];
const OWN = [
  '/',
  '/playground?type=ocr',
  '/playground?type=llm_inference',
  '/jobs',
  `/jobs/${JOBS.done}`,
  `/jobs/${JOBS.waiting}`,
  `/jobs/${JOBS.failed}`,
  `/jobs/${JOBS.read}`,
  '/jobs/not-mine',
  '/wallet',
  '/market?part=bookings',
  `/market/${GPU}?from=${encodeURIComponent('2030-01-01T00:00:00.000Z')}`,
  '/settings',
  '/operator',
];
const OF_AN_OPERATOR = [
  '/operator',
  '/operator?part=dead-letters',
  '/operator?part=accounts',
  '/operator?part=accounts&account=01900000-0000-7000-8000-000000000900',
  '/operator?part=parameters',
  '/operator?part=audit',
];
const OF_A_USER = [
  '/settings',
  `/settings/webhooks/${WEBHOOK}`,
  '/market?part=offers',
  `/market/${GPU}`,
  '/governance?part=propose',
  '/governance?part=propose&parameter=supported_job_types',
  `/governance/${PROPOSALS.active}`,
];

let gateway: TestGateway;
let browser: Browser;
beforeAll(async () => {
  if (CHROMIUM === undefined) return;
  await buildConsole(() => {});
  gateway = await startTestGateway({
    RATE_LIMIT_CLIENT_PER_MINUTE: '100000',
    RATE_LIMIT_USER_PER_MINUTE: '100000',
  });
  answerConsole(gateway);
  browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGUMENTS });
}, 2 * SLOW_MS);
afterAll(async () => {
  await browser?.close();
  await gateway?.stop();
});

interface Visit {
  readonly page: Page;
  /** What went wrong, and what the policy of the page had to refuse. */
  readonly errors: string[];
}
/** Who looks. For a user and an operator the gateway's own answers are made up too, so the session need not be one. */
type Who = 'nobody' | 'client' | 'user' | 'admin';
const CREDENTIALS = {
  client: { kind: 'key', secret: KEYS.client },
  user: { kind: 'session', secret: 'no-session-is-needed' },
  admin: { kind: 'key', secret: KEYS.admin },
} as const;
const visit = async (options: BrowserContextOptions, who: Who): Promise<Visit> => {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(SLOW_MS);
  if (who !== 'nobody')
    await context.addInitScript(
      (text) => sessionStorage.setItem('aitbc.credential', text),
      JSON.stringify(CREDENTIALS[who]),
    );
  // What moved though nobody touched it, and when the largest piece stood there.
  await context.addInitScript(`
    window.moved = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries())
        if (!entry.hadRecentInput) window.moved += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
    new PerformanceObserver((list) => { window.largestAt = list.getEntries().at(-1).startTime; })
      .observe({ type: 'largest-contentful-paint', buffered: true });
  `);
  if (who === 'user' || who === 'admin') await answerAsGateway(context, [who]);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('dialog', (dialog) => {
    errors.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('console', (message) => {
    // An answer that is no 2xx, which the browser notes and the page tells; what is meant here is broken code and what
    // the policy refused.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
      errors.push(message.text());
  });
  return { page, errors };
};

/** Opens a page, and waits until nothing on it is loading any more. */
const open = async (page: Page, path: string): Promise<void> => {
  await page.goto(gateway.url + path);
  await page.locator('main h1').first().waitFor();
  await expect.poll(() => page.locator('.bone').count(), { timeout: SLOW_MS }).toBe(0);
};

/** What the page's thread has computed, not what the clock says: a machine that does other things too makes nothing slow. */
const thread = async (page: Page): Promise<() => Promise<number>> => {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
  return async () => {
    const { metrics } = await cdp.send('Performance.getMetrics');
    return 1_000 * (metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN);
  };
};

const complaints = async (page: Page): Promise<string[]> => {
  await page.evaluate(axe);
  const violations = (await page.evaluate(
    "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then((r) => r.violations)",
  )) as Result[];
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  );
};

describe.skipIf(CHROMIUM === undefined)(`the console${because}`, () => {
  test.each([
    ['light', 360],
    ['dark', 1_440],
  ] as const)(
    'has nothing that hinders anyone, in %s at %i px, and nothing of a stranger runs or restyles it',
    { timeout: 6 * SLOW_MS },
    async (colorScheme, width) => {
      for (const [who, paths] of [
        ['nobody', PUBLIC],
        ['client', OWN],
        ['user', OF_A_USER],
        ['admin', OF_AN_OPERATOR],
      ] as const) {
        const { page, errors } = await visit({ colorScheme, viewport: { width, height: 900 } }, who);
        for (const path of paths) {
          await open(page, path);
          expect.soft(await page.evaluate('window.moved'), path).toBeLessThan(MOVED_MAX);
          expect.soft(await complaints(page), path).toEqual([]);
          expect.soft(await page.evaluate('window.ran'), path).toBeUndefined();
          expect.soft(await page.locator('main').isVisible(), path).toBe(true);
          // Nothing is wider than the screen, however long a word is.
          expect
            .soft(await page.evaluate('document.documentElement.scrollWidth'), path)
            .toBeLessThanOrEqual(width);
        }
        expect.soft(errors).toEqual([]);
        await page.context().close();
      }
    },
  );

  test('the first page stands there after less than a second of work', { timeout: 2 * SLOW_MS }, async () => {
    const { page } = await visit({}, 'nobody');
    const spentMs = await thread(page);
    await open(page, '/');
    expect(await page.evaluate('window.largestAt')).toBeGreaterThan(0);
    expect(await spentMs()).toBeLessThan(FIRST_PAGE_MS);
    await page.context().close();
  });

  test('ten thousand jobs scroll as a screenful does, and are asked for as they are scrolled', {
    timeout: 2 * SLOW_MS,
  }, async () => {
    const { page, errors } = await visit({ viewport: { width: 1_200, height: 800 } }, 'client');
    await open(page, `/jobs?label=${MANY.label}`);
    await page.getByText('200 jobs so far').waitFor();
    const whole = page.getByText(/^10,000 jobs\./);
    for (let looks = 0; (await whole.count()) === 0; looks++) {
      expect(looks).toBeLessThan(2_000);
      await page.evaluate('scrollTo(0, document.body.scrollHeight); new Promise(requestAnimationFrame)');
    }
    const rows = page.locator('.job-body > li');
    const spentMs = await thread(page);
    const frames: number[] = [];
    for (let frame = 0; frame < FRAMES; frame++) {
      const before = await spentMs();
      await page.evaluate(
        `scrollBy(0, ${-SCROLLED_PX}); new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))`,
      );
      frames.push((await spentMs()) - before);
    }
    // One or two may fall together with the browser's own tidying up.
    expect(frames.sort((a, b) => b - a)[2]).toBeLessThan(LONG_FRAME_MS);
    expect(await rows.count()).toBeLessThan(ROWS_MAX);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  test('a key is kept for the tab alone unless asked, and signing out forgets it', {
    timeout: 2 * SLOW_MS,
  }, async () => {
    const { page, errors } = await visit({}, 'nobody');
    const kept = () =>
      page.evaluate('[JSON.stringify(sessionStorage), JSON.stringify(localStorage)]') as Promise<string[]>;
    await open(page, '/sign-in?to=/jobs');
    await page.getByLabel('API key').fill(KEYS.client);
    await page.getByRole('button', { name: 'Sign in with the key' }).click();
    await page.waitForURL(`${gateway.url}/jobs`);
    await page.getByText('200 jobs so far').waitFor();
    const [tab, computer] = await kept();
    expect(tab).toContain(KEYS.client);
    expect(computer).not.toContain(KEYS.client);
    expect(page.url()).not.toContain(KEYS.client);
    await page.reload();
    await page.getByText('200 jobs so far').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('Sign in to see your jobs').waitFor();
    expect((await kept()).join()).not.toContain(KEYS.client);
    expect(errors).toEqual([]);
    await page.context().close();
  });

  test('after signing in a link leads to no other host', { timeout: 2 * SLOW_MS }, async () => {
    const { page } = await visit({}, 'nobody');
    for (const to of ['//example.org', 'https://example.org', '/\\example.org', 'javascript:window.ran=1']) {
      await open(page, `/sign-in?to=${encodeURIComponent(to)}`);
      await page.getByLabel('API key').fill(KEYS.client);
      await page.getByRole('button', { name: 'Sign in with the key' }).click();
      await page.waitForURL(`${gateway.url}/`);
      await page.getByRole('button', { name: 'Sign out' }).click();
    }
    await page.context().close();
  });
});
