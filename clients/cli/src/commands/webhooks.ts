import type { Input, Webhook } from '@aitbc/sdk';
import type { Command } from 'commander';
import { collect, count, wholeNumber } from '../arguments.ts';
import type { Context } from '../context.ts';
import { UsageError } from '../failures.ts';
import type { Act } from '../program.ts';

/** An account has 20 endpoints, and 20 origins of callbacks. */
const WEBHOOKS_MAX = 100;

type Events = NonNullable<Input<'gateway.create_webhook'>['body']>['events'];

/** Until when it works, or why it does not. */
const stateOf = ({ enabled, disabled_reason, failing_since }: Webhook): string =>
  enabled ? (failing_since === null ? 'on' : 'failing') : `off (${disabled_reason})`;

const show = ({ output }: Context, webhook: Webhook): void => {
  if (output.isJson) {
    output.json(webhook);
    return;
  }
  output.record({
    id: webhook.id,
    kind: webhook.kind,
    url: webhook.url,
    events: webhook.events.join(' '),
    about: webhook.description,
    results: webhook.include_result ? 'sent along' : 'not sent',
    state: stateOf(webhook),
    'failing since': webhook.failing_since,
    waiting: webhook.waiting,
    'left out': webhook.skipped,
    'old secret until': webhook.secret_expires_at,
    created: webhook.created_at,
  });
};

/** A secret goes to stdout alone, so that a script may take it. */
const showSecret = ({ output }: Context, secret: string, about: string): void => {
  output.line(secret);
  output.note(about);
};

const addChanges = (webhooks: Command, act: Act): void => {
  webhooks
    .command('add')
    .description('Have events sent to an address; its secret is printed once')
    .argument('<url>', 'https://…; in development http too')
    .requiredOption('-e, --event <name>', 'job.completed, payment.released, …; several are possible', collect)
    .option('--about <text>', 'to recognise it by')
    .option('--with-result', 'job.completed brings the result, up to 20 KB')
    .addHelpText(
      'after',
      `
Events: job.completed job.failed job.cancelled job.expired payment.released
payment.refunded booking.started booking.ended invoice.confirmed
proposal.passed proposal.executed miner.inactive

Example:
  aitbc webhooks add https://example.org/hooks -e job.completed -e job.failed`,
    )
    .action(
      act(async (context, url: string, options: { event: string[]; about?: string; withResult?: true }) => {
        const body = {
          url,
          events: options.event as Events,
          description: options.about,
          include_result: options.withResult === true,
        };
        const made = await context.client.webhooks.create(body, { signal: context.signal });
        if (context.output.isJson) context.output.json(made);
        else showSecret(context, made.secret, `This secret is shown once. The webhook is ${made.id}.`);
      }),
    );
  webhooks
    .command('update')
    .description('Change a webhook, switch it off or on again')
    .argument('<webhook>')
    .option('--url <url>')
    .option('-e, --event <name>', 'in place of those that it has; several are possible', collect)
    .option('--about <text>', 'to recognise it by')
    .option('--with-result', 'job.completed brings the result')
    .option('--without-result', 'ids and states alone')
    .option('--on', 'send again; what happened meanwhile is not sent')
    .option('--off', 'send nothing')
    .addHelpText('after', '\nExample:\n  aitbc webhooks update 0190f2a5-… --off')
    .action(
      act(
        async (
          context,
          id: string,
          options: {
            url?: string;
            event?: string[];
            about?: string;
            withResult?: true;
            withoutResult?: true;
            on?: true;
            off?: true;
          },
        ) => {
          const choice = (yes: true | undefined, no: true | undefined) => (yes ?? (no && false)) as boolean;
          if ((options.on && options.off) || (options.withResult && options.withoutResult))
            throw new UsageError('It cannot be both.');
          const body = {
            url: options.url,
            events: options.event as Events | undefined,
            description: options.about,
            include_result: choice(options.withResult, options.withoutResult),
            enabled: choice(options.on, options.off),
          };
          if (Object.values(body).every((value) => value === undefined))
            throw new UsageError('Say what to change: --url, --event, --about, --on, --off …');
          show(context, await context.client.webhooks.change(id, body, { signal: context.signal }));
        },
      ),
    );
  webhooks
    .command('remove')
    .description('Delete a webhook, with its deliveries')
    .argument('<webhook>')
    .action(
      act(async ({ client, output, signal }, id: string) => {
        const removed = await client.webhooks.remove(id, { signal });
        if (output.isJson) output.json(removed);
        else output.line(`${id} removed`);
      }),
    );
  webhooks
    .command('rotate-secret')
    .description('A new secret; the old one is good for a while')
    .argument('<webhook>', 'or callbacks: the secret behind the callback_url of all jobs')
    .option('--overlap <seconds>', 'how long the old one is good; a day without', wholeNumber)
    .addHelpText('after', '\nExample:\n  aitbc webhooks rotate-secret callbacks')
    .action(
      act(async (context, id: string, options: { overlap?: number }) => {
        const body = { overlap_seconds: options.overlap };
        const made = await context.client.webhooks.rotateSecret(id, body, { signal: context.signal });
        if (context.output.isJson) context.output.json(made);
        else
          showSecret(
            context,
            made.secret,
            `This secret is shown once. The old one is good until ${made.secret_expires_at ?? 'now'}.`,
          );
      }),
    );
};

const addDeliveries = (webhooks: Command, act: Act): void => {
  webhooks
    .command('deliveries')
    .description('What was sent, and what came of it, newest first')
    .argument('<webhook>')
    .option('--status <status>', 'waiting, calling, delivered or failed')
    .option('-n, --limit <n>', 'at most so many', count, 20)
    .addHelpText('after', '\nExample:\n  aitbc webhooks deliveries 0190f2a5-… --status failed')
    .action(
      act(async ({ client, output, signal }, id: string, options: { status?: 'failed'; limit: number }) => {
        const query = { status: options.status, limit: Math.min(Math.max(options.limit, 1), 500) };
        const found = await client.webhooks.deliveries(id, query, { signal }).take(options.limit);
        if (output.isJson) return output.json(found);
        output.table(
          ['id', 'event', 'status', 'answer', 'tries', 'next try', 'made', 'about'],
          found.map((one) => {
            const last = one.attempts.at(-1);
            return [
              one.id,
              one.type,
              one.status,
              last?.status ?? last?.error?.replaceAll('_', ' '),
              one.attempts.length,
              one.next_attempt_at,
              one.created_at,
              one.object_id,
            ];
          }),
          'No deliveries.',
        );
      }),
    );
  webhooks
    .command('redeliver')
    .description('Send a delivery again, or at once')
    .argument('<webhook>')
    .argument('<delivery>')
    .addHelpText('after', '\nExample:\n  aitbc webhooks redeliver 0190f2a5-… 0190f2b1-…')
    .action(
      act(async ({ client, output, signal }, id: string, delivery: string) => {
        const again = await client.webhooks.redeliver(id, delivery, { signal });
        if (output.isJson) output.json(again);
        else output.line(`${again.id} ${again.status}`);
      }),
    );
};

export const addWebhooks = (program: Command, act: Act): void => {
  const webhooks = program.command('webhooks').description('Events of the account, sent to an address');
  webhooks
    .command('list')
    .description('Own webhooks, and those of callback_url')
    .action(
      act(async ({ client, output, signal }) => {
        const found = await client.webhooks.list({}, { signal }).take(WEBHOOKS_MAX);
        if (output.isJson) return output.json(found);
        output.table(
          ['id', 'state', 'waiting', 'url', 'events', 'kind'],
          found.map((one) => [one.id, stateOf(one), one.waiting, one.url, one.events.join(' '), one.kind]),
          'No webhooks.',
        );
      }),
    );
  webhooks
    .command('show')
    .description('One webhook')
    .argument('<webhook>')
    .action(
      act(async (context, id: string) =>
        show(context, await context.client.webhooks.get(id, { signal: context.signal })),
      ),
    );
  addChanges(webhooks, act);
  addDeliveries(webhooks, act);
};
