import { routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import type { Page } from 'playwright-core';
import { type Coordinator, must, registerMiner, takeWork } from '../coordinator.ts';
import { leaveLetter } from '../dead-letter.ts';

const HEARTBEAT_TIMEOUT_SECONDS = 10;

/** An operator sees the system, finds a dead letter, and replays it: what it says is obeyed, and it is gone. */
export const deadLetterStory = async (page: Page, coordinator: Coordinator): Promise<void> => {
  await leaveLetter(coordinator.dataDir, HEARTBEAT_TIMEOUT_SECONDS);
  await page.goto(`${coordinator.url}/sign-in?to=${encodeURIComponent('/operator?part=dead-letters')}`);
  await page.getByLabel('API key').fill(coordinator.keys.admin);
  await page.getByRole('button', { name: 'Sign in with the key' }).click();
  const letter = page.getByRole('list', { name: 'Dead letters' }).getByRole('listitem');
  await letter.getByText('Error: <b>disk full</b>').waitFor();
  await letter.getByText('given up').waitFor();

  await page.getByRole('link', { name: 'Health' }).click();
  const picture =
    /gateway works.*miners needs a look: 1 dead letter.*Redis works.*dispatcher works: 1 worker/;
  await page.getByRole('img', { name: picture }).waitFor();

  await page.getByRole('link', { name: 'Dead letters' }).click();
  await page.getByRole('button', { name: 'Replay: governance.parameter_changed to miners' }).click();
  await page.getByText('No dead letter').waitFor();
  await page.getByRole('link', { name: 'Audit log' }).click();
  const done = page.getByRole('list', { name: 'Audit log' }).getByRole('listitem');
  // It is told by the service that did it, moments after.
  await done.filter({ hasText: 'A dead letter was replayed' }).waitFor();
  const { caller } = await coordinator.newAccount(['miner']);
  const miner = await registerMiner(caller);
  await eventually(async () => {
    const { next_heartbeat_seconds } = must(
      await caller.call(routes.miners.heartbeat, { body: { miner_id: miner.id, inflight: [] } }),
    );
    return next_heartbeat_seconds < HEARTBEAT_TIMEOUT_SECONDS / 2;
  });
};

/** A miner falls silent with a job in hand: its page says so, waits, and shows who finished it. */
export const deadMinerStory = async (page: Page, coordinator: Coordinator): Promise<void> => {
  const client = await coordinator.newAccount(['client']);
  const job = must(
    await client.caller.call(routes.jobs.submit, {
      body: {
        job_type: 'custom',
        parameters: { input: { of: 'the story' } },
        constraints: { region: 'mars' },
      },
    }),
  );
  await page.goto(`${coordinator.url}/sign-in?to=/jobs/${job.id}`);
  await page.getByLabel('API key').fill(client.key);
  await page.getByRole('button', { name: 'Sign in with the key' }).click();
  await page.getByText('No miner that is here can do it').waitFor();

  const [dying, living] = await Promise.all(
    [1, 2].map(async () => (await coordinator.newAccount(['miner'])).caller),
  );
  if (dying === undefined || living === undefined) throw new Error('two miners were asked for');
  const register = (caller: typeof dying) =>
    registerMiner(caller, { capabilities: ['custom'], region: 'mars', concurrency: 1 });
  const first = await register(dying);
  await takeWork(dying, first.id);
  await page.getByText('A miner works on it').waitFor();
  // From here on it says nothing more.
  await page.getByText('Attempt 1 was lost, it is tried again').waitFor();
  const second = await register(living);
  const [work] = await takeWork(living, second.id);
  await page.getByText('A miner began (attempt 2)').waitFor();
  must(
    await living.call(routes.jobs.result, {
      body: {
        job_id: job.id,
        lease: work?.lease as string,
        status: 'completed',
        result: { done: 'by another' },
      },
    }),
  );
  await page.getByText('by another').waitFor();
  await page.getByText('2 of 3').waitFor();
};
