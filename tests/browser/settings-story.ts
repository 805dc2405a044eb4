import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createClient, routes } from '@aitbc/contracts';
import { verifyWebhook } from '@aitbc/sdk';
import { eventually, rememberSecret } from '@aitbc/testing';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import { type Coordinator, embedding, must } from '../coordinator.ts';

const kept = (page: Page): Promise<string> =>
  page.evaluate('JSON.stringify(sessionStorage) + JSON.stringify(localStorage)');

/** Reads the secret that is shown, and puts it away. */
const takeSecret = async (page: Page): Promise<string> => {
  const secret = rememberSecret((await page.locator('.secret').textContent()) ?? '');
  expect(await kept(page)).not.toContain(secret);
  await page.getByRole('button', { name: 'I have it' }).click();
  await page.locator('.secret').waitFor({ state: 'detached' });
  expect(await page.content()).not.toContain(secret);
  return secret;
};

/** Whoever signed in with a wallet makes a key, and replaces and revokes it. */
export const keysStory = async (page: Page, { url }: Coordinator): Promise<void> => {
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.getByText('No key yet').waitFor();
  await page.getByRole('button', { name: 'Make a key' }).click();
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('render farm');
  await page.getByRole('checkbox', { name: 'miner' }).check();
  await page.getByLabel('May spend in all').fill('0.00000003');
  await page.getByRole('button', { name: 'Make the key' }).click();
  const first = await takeSecret(page);
  const as = (key: string) => createClient(url, { 'x-api-key': key });
  expect(must(await as(first).call(routes.gateway.me, {})).scopes).toEqual(['client', 'miner']);
  await page.getByText('spends up to 0.00000003 AITBC').waitFor();

  await page.getByRole('button', { name: 'Rotate: render farm' }).click();
  await page.getByLabel('The old one works on').selectOption({ label: 'not at all: it ends now' });
  await page.getByRole('alertdialog').getByRole('button', { name: 'Rotate' }).click();
  const second = await takeSecret(page);
  const isRefused = (key: string) =>
    eventually(async () => (await as(key).call(routes.gateway.me, {})).status === 401);
  await isRefused(first);

  await page.getByRole('button', { name: 'Revoke: render farm' }).click();
  await page.getByRole('alertdialog').getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('No key yet').waitFor();
  await isRefused(second);
};

interface Heard {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A webhook is made, called, called again by hand, paused and deleted; all sessions end. */
export const webhookStory = async (page: Page, { url }: Coordinator): Promise<void> => {
  const heard: Heard[] = [];
  let status = 500;
  const receiver = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    heard.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
    response.writeHead(status).end('<b>not now</b>');
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const { port } = receiver.address() as AddressInfo;
  try {
    await page.getByRole('button', { name: 'Make a webhook' }).click();
    await page.getByLabel('Address').fill(`http://127.0.0.1:${port}/hook`);
    await page.getByRole('checkbox', { name: 'A job was cancelled' }).check();
    await page.getByRole('button', { name: 'Make the webhook' }).click();
    const secret = await takeSecret(page);
    await page.getByRole('link', { name: `http://127.0.0.1:${port}/hook` }).click();
    await page.getByText('Nothing was sent yet').waitFor();

    const token = await page.evaluate(() => sessionStorage.getItem('aitbc.credential') ?? '');
    const user = createClient(url, { 'x-session-token': (JSON.parse(token) as { secret: string }).secret });
    // What happens from some five seconds after it was made is sent.
    await eventually(
      async () => {
        const { id } = must(await user.call(routes.jobs.submit, { body: embedding('for a webhook') }));
        must(await user.call(routes.jobs.cancel, { params: { job_id: id } }));
        return heard.length > 0;
      },
      { withinMs: 30_000, everyMs: 500 },
    );
    const entry = page.getByRole('list', { name: 'Deliveries' }).locator('> li').last();
    await entry.getByText('waiting').waitFor();
    // It is tried again by itself after a few seconds, also while this looks: then it has two tries, which say the same.
    await entry.getByText(/^(One try|\d+ tries)$/).click();
    await entry.getByText('It answered, but not with a 2xx.').first().waitFor();
    await entry.getByText('<b>not now</b>').first().waitFor();
    status = 204;
    // By itself or by hand: which of the two comes first is the same here.
    await entry.getByRole('button', { name: /^Send job\.cancelled/ }).click();
    await entry.getByText('delivered', { exact: true }).waitFor();
    const last = heard.at(-1) as Heard;
    expect(await verifyWebhook(last.body, last.headers, secret)).toMatchObject({ type: 'job.cancelled' });

    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByRole('alertdialog').getByRole('button', { name: 'Pause' }).click();
    await page.getByText('Paused by you.').waitFor();
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('No webhook yet').waitFor();
    await page.getByRole('button', { name: 'End all' }).click();
    await page.getByRole('alertdialog').getByRole('button', { name: 'End all' }).click();
    await page.getByText('Sign in to see your settings').waitFor();
    expect((await user.call(routes.gateway.me, {})).status).toBe(401);
  } finally {
    receiver.closeAllConnections();
    receiver.close();
  }
};
