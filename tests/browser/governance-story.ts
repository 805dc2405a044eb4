import { routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import type { Page } from 'playwright-core';
import { type Coordinator, must } from '../coordinator.ts';

const FEE = 'platform_fee_basis_points';
/** Five days of votes and one of the timelock are 48 seconds here; as long again for a busy machine. */
const DECIDED_MS = 96_000;
const WHY = 'A fee that is a little higher pays for the audit that everybody here has asked for.';

/** A holder proposes a change, votes for it, and sees it executed: the parameter is what was voted. */
export const governanceStory = async (page: Page, coordinator: Coordinator): Promise<void> => {
  const { id, key } = await coordinator.newAccount(['client', 'vote']);
  must(
    await coordinator.admin.call(routes.payments.credit, {
      params: { account_id: id },
      body: { amount: 1_000_000, reason: 'to vote with' },
    }),
  );
  // Votes count by sealed blocks.
  await eventually(
    async () =>
      must(
        await coordinator.anyone.call(routes.governance.votingPower, { params: { user_id: id }, query: {} }),
      ).voting_power > 0,
  );
  await page.getByRole('link', { name: 'Parameters' }).click();
  await page.getByRole('link', { name: 'Propose a change: platform fee basis points' }).click();
  await page.getByRole('link', { name: 'Sign in', exact: true }).last().click();
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in with the key' }).click();

  await page.getByText('Your voting power: 1,000,000 AITBC').waitFor();
  await page.getByText('From 0 to 750: so far one vote may move it.').waitFor();
  const propose = page.getByRole('button', { name: 'Propose it' });
  await page.getByLabel('New value').fill('751');
  await page.getByText('Propose it').and(page.locator(':disabled')).waitFor();
  await page.getByLabel('New value').fill('300');
  await page.getByLabel('Title').fill('Three percent for the platform');
  await page.getByLabel('Why').fill(WHY);
  await page.getByLabel('Votes are taken for, in days').fill('5');
  await propose.click();

  await page.getByText('No vote yet').waitFor();
  await page.getByText('not enough yet: 10% must').waitFor();
  await page.getByRole('radio', { name: 'For it' }).check();
  await page.getByRole('button', { name: 'Vote', exact: true }).click();
  await page.getByText('Your vote counts: 1,000,000 AITBC for.').waitFor();
  await page.getByText('For it: 100%').waitFor();
  // The vote ends, the timelock ends, and it is done: the page tells it by itself.
  await page.getByText('Executed: platform fee basis points is 300 now.').waitFor({ timeout: DECIDED_MS });

  await page.getByRole('link', { name: 'All proposals' }).click();
  const entry = page.getByRole('list', { name: 'Proposals' }).locator('> li');
  await entry.getByText('executed', { exact: true }).waitFor();
  await page.getByRole('link', { name: 'Parameters' }).click();
  await page.getByRole('button', { name: 'History: platform fee basis points' }).click();
  await page.getByText('300 since').waitFor();
  await eventually(async () => {
    const { items } = must(await coordinator.anyone.call(routes.governance.parameters, {}));
    return items.find(({ name }) => name === FEE)?.value === 300;
  });
};
