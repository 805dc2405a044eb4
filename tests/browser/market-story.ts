import { routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import { type Coordinator, must } from '../coordinator.ts';

const signIn = async (page: Page, { url }: Coordinator, key: string, to: string): Promise<void> => {
  await page.goto(`${url}/sign-in?to=${encodeURIComponent(to)}`);
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in with the key' }).click();
};

const HELD = 10_000;
/** A month: four minutes, as business time runs here. */
const HOURS = 700;
const PRICE = 6;
const amountIn = (text: string | undefined): number => Number(text?.replaceAll(',', ''));

/** A GPU is offered, found, booked, extended and given back: the page tells what each costs before, and it comes true. */
export const marketStory = async (page: Page, coordinator: Coordinator): Promise<void> => {
  const owner = await coordinator.newAccount(['miner']);
  const booker = await coordinator.newAccount(['client']);
  must(
    await coordinator.admin.call(routes.payments.credit, {
      params: { account_id: booker.id },
      body: { amount: HELD, reason: 'to rent with' },
    }),
  );
  await signIn(page, coordinator, owner.key, '/market?part=offers');
  await page.getByText('Nothing yet').waitFor();
  await page.getByRole('button', { name: 'Offer a GPU' }).click();
  await page.getByRole('textbox', { name: 'Model', exact: true }).fill('RTX 4090');
  await page.getByLabel('Region').fill('eu-central');
  await page.getByLabel('An hour costs').fill(String(PRICE));
  await page.getByText('Nobody offers this model yet.').waitFor();
  await page.getByRole('button', { name: 'Offer it' }).click();
  await page.getByRole('list', { name: 'Your offers' }).getByText('6 AITBC an hour').waitFor();

  await signIn(page, coordinator, booker.key, '/market');
  await page.getByLabel('Model').fill('h100');
  await page.getByText('No GPU like that').waitFor();
  await page.getByLabel('Model').fill('rtx-4090');
  await page.getByRole('link', { name: 'RTX 4090' }).click();
  await page.getByText('Its owner sets the price; nothing else moves it.').waitFor();
  await page.getByLabel('Hours').fill(String(HOURS));
  await page.getByRole('button', { name: 'Book', exact: true }).click();
  const asked = page.getByRole('alertdialog');
  await asked.getByText('Book for 4,200 AITBC?').waitFor();
  await asked.getByRole('button', { name: 'Book' }).click();
  await page.getByText('Booked: 4,200 AITBC are held.').waitFor();
  const open = page.getByRole('list', { name: 'Open bookings' }).locator('> li');
  await open.getByText('runs').waitFor();
  // Now is taken, for everybody.
  await page.getByText('Then it is taken').waitFor();

  await page.getByRole('link', { name: 'Extend: RTX 4090' }).click();
  await page.getByText('that begins where yours ends').waitFor();
  await page.getByLabel('Hours').fill('0.5');
  await page.getByRole('button', { name: 'Extend', exact: true }).click();
  await asked.getByText('Extend for 3 AITBC?').waitFor();
  await asked.getByRole('button', { name: 'Extend' }).click();
  await eventually(async () => (await open.count()) === 2);

  // What has not begun comes back whole; of what runs the minutes are paid that have begun.
  const giveBack = async (state: string, says: RegExp): Promise<void> => {
    await open
      .filter({ has: page.getByText(state, { exact: true }) })
      .getByRole('button', { name: 'Give back: RTX 4090' })
      .click();
    await asked.getByText(says).waitFor();
    await asked.getByRole('button', { name: 'Give back' }).click();
  };
  await giveBack('booked', /all of it comes back, 3 AITBC/);
  await eventually(async () => (await open.count()) === 1);
  await giveBack('runs', /You pay [\d,.]+ AITBC for [\d,]+ minutes?, and [\d,.]+ AITBC come back/);

  await page.getByLabel('How was it').selectOption({ label: '4 of 5, good' });
  await page.getByLabel('In words, if you like').fill('<b>quiet</b>');
  await page.getByRole('button', { name: 'Review it' }).click();
  await page.getByRole('list', { name: 'Reviews' }).getByText('<b>quiet</b>').waitFor();

  await page.getByRole('link', { name: 'Market' }).click();
  await page.getByRole('link', { name: 'Your bookings' }).click();
  const given = page.getByRole('list', { name: 'Bookings' }).locator('> li');
  // With what stands before it: of the longer booking 4,166.3 AITBC may come back, which ends in these words too.
  await given.getByText('0 AITBC paid for 0 min, 3 AITBC came back').waitFor();
  const money = /([\d,.]+) AITBC paid for [\d,]+ min, ([\d,.]+) AITBC came back/;
  const [, paid, back] = money.exec((await given.last().getByText(money).textContent()) ?? '') ?? [];
  expect(amountIn(paid)).toBeGreaterThan(0);
  expect(amountIn(paid) + amountIn(back)).toBeCloseTo(HOURS * PRICE, 8);
  await page.getByRole('link', { name: 'Wallet' }).click();
  const left = new Intl.NumberFormat('en', { maximumFractionDigits: 8 }).format(HELD - amountIn(paid));
  await page.getByText(`${left} AITBC`, { exact: true }).first().waitFor();
  await page
    .getByText('Held in escrow')
    .locator('..')
    .getByText(/^0 AITBC/)
    .waitFor();
};
