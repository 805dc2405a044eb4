import { text } from 'node:stream/consumers';
import { routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import { type Coordinator, must } from '../coordinator.ts';

/** Buys tokens with the coins of the local chain, until they are credited, and sends some of them on. */
export const walletStory = async (page: Page, coordinator: Coordinator): Promise<void> => {
  const { id, key, caller } = await coordinator.newAccount(['client', 'trade']);
  const friend = await coordinator.newAccount(['client']);
  await page.goto(`${coordinator.url}/sign-in?to=${encodeURIComponent('/wallet')}`);
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in with the key' }).click();
  await page.getByText('Nothing yet').waitFor();

  await page.getByLabel('Amount, in AITBC').first().fill('125');
  await page.getByText(/^Costs [\d.]+ BTC/).waitFor();
  await page.getByRole('button', { name: 'Buy with bitcoin' }).click();
  await page.getByRole('img', { name: /QR code/ }).waitFor();
  expect(await page.getByRole('link', { name: 'Open in a wallet' }).getAttribute('href')).toMatch(
    /^bitcoin:/,
  );
  // What is open is gone on with by whoever comes back.
  await page.reload();
  await page.getByText('Nothing has come yet').waitFor();
  await page.getByRole('button', { name: 'Pay with test coins' }).click();
  await page.getByText('It is credited').waitFor();
  const statement = page.getByRole('table').last();
  await statement.getByText('Bought with bitcoin').waitFor();
  await statement.getByText('+125 AITBC').waitFor();

  await page.getByLabel('To', { exact: true }).fill(friend.id);
  await page.getByLabel('Amount, in AITBC').last().fill('0.5');
  await page.getByLabel('Memo').fill('for the tea');
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.getByRole('alertdialog').getByRole('button', { name: 'Send', exact: true }).click();
  await page.getByText('0.5 AITBC were sent.').waitFor();
  await statement.getByText('for the tea').waitFor();
  const balanceOf = async (user_id: string, as = caller) =>
    must(await as.call(routes.payments.balance, { params: { user_id } })).available;
  await eventually(async () => (await balanceOf(friend.id, friend.caller)) === 0.5);
  expect(await balanceOf(id)).toBe(124.5);

  // All of it in a file, to its last line.
  await page.getByRole('link', { name: 'Settings' }).click();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Save it as a file' }).click(),
  ]);
  const lines = (await text(await download.createReadStream())).trimEnd().split('\n');
  expect(JSON.parse(lines.at(-1) as string)).toMatchObject({
    type: 'end',
    data: { counts: { transaction: 2 } },
  });
};
