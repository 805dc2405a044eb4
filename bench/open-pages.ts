import { type CDPSession, chromium } from 'playwright-core';
import { CHROMIUM, CHROMIUM_ARGUMENTS } from '../tests/browser/chromium.ts';

/** Those that ask again and again while jobs come and go. */
const PATHS = { Home: '/', Jobs: '/jobs', Explorer: '/explorer' } as const;
const LOADED_MS = 60_000;

/** What an open page holds, after a forced collection. */
export interface PageMemory {
  readonly heapMb: number;
  readonly nodes: number;
  readonly listeners: number;
}

const look = async (devtools: CDPSession): Promise<PageMemory> => {
  await devtools.send('HeapProfiler.collectGarbage');
  const { metrics } = await devtools.send('Performance.getMetrics');
  const metric = (name: string) => metrics.find((one) => one.name === name)?.value ?? Number.NaN;
  return {
    heapMb: metric('JSHeapUsedSize') / 1_048_576,
    nodes: metric('Nodes'),
    listeners: metric('JSEventListeners'),
  };
};

/**
 * Opens pages of the console as who holds the key, each in a browser window of its own, and leaves them alone.
 * @returns what looks at all of them, and what closes them; undefined where there is no Chromium
 */
export const openPages = async (url: string, key: string) => {
  if (CHROMIUM === undefined) return undefined;
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGUMENTS });
  const secret = JSON.stringify({ kind: 'key', secret: key });
  const pages: [string, CDPSession][] = [];
  const faults: string[] = [];
  for (const [name, path] of Object.entries(PATHS)) {
    const context = await browser.newContext({ viewport: { width: 1_440, height: 900 } });
    await context.addInitScript((text) => sessionStorage.setItem('aitbc.credential', text), secret);
    const page = await context.newPage();
    page.on('pageerror', ({ message }) => faults.push(`${name}: ${message}`));
    page.on('crash', () => faults.push(`${name}: crashed`));
    await page.goto(url + path, { timeout: LOADED_MS });
    await page.getByRole('heading', { level: 1 }).waitFor({ timeout: LOADED_MS });
    const devtools = await context.newCDPSession(page);
    await devtools.send('Performance.enable');
    pages.push([name, devtools]);
  }
  return {
    look: async (): Promise<Record<string, PageMemory>> =>
      Object.fromEntries(await Promise.all(pages.map(async ([name, page]) => [name, await look(page)]))),
    faults: (): readonly string[] => faults,
    close: () => browser.close(),
  };
};
