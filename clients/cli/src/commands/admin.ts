import type { Input } from '@aitbc/sdk';
import type { Command } from 'commander';
import { collect, count, number, wholeNumber } from '../arguments.ts';
import type { Act } from '../program.ts';

export const addAdmin = (program: Command, act: Act): void => {
  const admin = program.command('admin').description('For operators; takes an admin key');
  admin
    .command('stats')
    .description('How the whole coordinator is doing')
    .action(
      act(async ({ client, output, signal }) => {
        const stats = await client.admin.stats({ signal });
        if (output.isJson) return output.json(stats);
        const { services, mailboxes, ...figures } = stats;
        output.record(figures);
        output.line();
        output.table(
          ['service', 'ok', 'dead letters', 'not yet sent', 'down'],
          services.map((one) => [
            one.service,
            one.ok ? 'yes' : 'no',
            one.dead_letters,
            one.outbox_unacknowledged,
            Object.entries(one.dependencies)
              .filter(([, { ok }]) => !ok)
              .map(([name]) => name)
              .join(' '),
          ]),
          'No services.',
        );
        output.line();
        output.table(
          ['mailbox', 'waiting', 'active', 'delayed', 'failed', 'workers'],
          (mailboxes ?? []).map((one) => [
            one.destination,
            one.waiting,
            one.active,
            one.delayed,
            one.failed,
            one.workers,
          ]),
          'Redis does not answer.',
        );
      }),
    );
  admin
    .command('credit')
    .description('Credit an account from the mint')
    .argument('<account>', 'an account id, or treasury')
    .argument('<aitbc>', '', number)
    .requiredOption('--reason <text>', 'everybody can read it')
    .option('--idempotency-key <key>', 'given again, it is the same credit')
    .addHelpText('after', "\nExample:\n  aitbc admin credit 0190f2a5-… 50 --reason 'a refund by hand'")
    .action(
      act(
        async (
          { client, output, signal },
          account: string,
          amount: number,
          options: { reason: string; idempotencyKey?: string },
        ) => {
          const call = { signal, idempotencyKey: options.idempotencyKey };
          const credit = await client.admin.credit(account, { amount, reason: options.reason }, call);
          if (output.isJson) output.json(credit);
          else output.line(`Credited ${credit.amount} ${credit.currency}: ${credit.transaction_hash}`);
        },
      ),
    );
  addKeys(admin, act);
  addDeadLetters(admin, act);
  addAudit(admin, act);
  admin
    .command('veto')
    .description('Stop a passed proposal within its timelock; everybody can read why')
    .argument('<proposal>')
    .requiredOption('--reason <text>')
    .action(
      act(async ({ client, output, signal }, id: string, options: { reason: string }) => {
        const proposal = await client.admin.vetoProposal(id, { reason: options.reason }, { signal });
        if (output.isJson) output.json(proposal);
        else output.line(`${id} ${proposal.status}`);
      }),
    );
  admin
    .command('reset-parameter')
    .description('Set a parameter to its default, whatever was voted; everybody can read why')
    .argument('<name>')
    .requiredOption('--reason <text>')
    .action(
      act(async ({ client, output, signal }, name: string, options: { reason: string }) => {
        const call = { params: { name }, body: options } as Input<'governance.reset_parameter'>;
        const parameter = await client.call('governance.reset_parameter', call, { signal });
        if (output.isJson) output.json(parameter);
        else output.line(`${name} is ${JSON.stringify(parameter.value)}`);
      }),
    );
  admin
    .command('debts')
    .description('Credits that the Bitcoin chain took back')
    .option('-n, --limit <n>', 'at most so many', count, 50)
    .action(
      act(async ({ client, output, signal }, options: { limit: number }) => {
        const found = await client.admin.debts({}, { signal }).take(options.limit);
        if (output.isJson) return output.json(found);
        output.table(
          ['id', 'account', 'AITBC', 'status', 'opened'],
          found.map((debt) => [debt.id, debt.account_id, debt.amount, debt.status, debt.opened_at]),
          'No debts.',
        );
      }),
    );
};

const addAudit = (admin: Command, act: Act): void => {
  admin
    .command('audit')
    .description('What was done with keys, money, votes, parameters, messages and contents')
    .option('--action <action>', 'as key.created; of this kind alone')
    .option('--account <id>', 'done to what is this account’s')
    .option('--actor <id>', 'done by this account')
    .option('-n, --limit <n>', 'at most so many', count, 50)
    .addHelpText('after', '\nWhether anything in it was changed: `npm run verify` of the coordinator.')
    .action(
      act(
        async (
          { client, output, signal },
          options: { action?: string; account?: string; actor?: string; limit: number },
        ) => {
          const query = { action: options.action, account_id: options.account, actor_id: options.actor };
          const found = await client.admin
            .audit(query as NonNullable<Input<'gateway.admin_audit'>['query']>, { signal })
            .take(options.limit);
          if (output.isJson) return output.json(found);
          output.table(
            ['number', 'at', 'what', 'to', 'of account', 'by', 'details'],
            found.map((entry) => [
              entry.seq,
              entry.at,
              entry.action,
              entry.object,
              entry.account_id,
              entry.actor_id ?? 'configuration',
              Object.entries(entry.details)
                .filter(([, value]) => value !== null)
                .map(([name, value]) => `${name}=${value}`)
                .join(' '),
            ]),
            'Nothing was done.',
          );
        },
      ),
    );
};

const addKeys = (admin: Command, act: Act): void => {
  const keys = admin.command('keys').description('API keys of all accounts');
  keys
    .command('list')
    .description('Keys, newest first')
    .option('--account <id>', 'of this account')
    .option('-n, --limit <n>', 'at most so many', count, 50)
    .action(
      act(async ({ client, output, signal }, options: { account?: string; limit: number }) => {
        const found = await client.admin.keys
          .list({ account_id: options.account }, { signal })
          .take(options.limit);
        if (output.isJson) return output.json(found);
        output.table(
          ['id', 'label', 'begins', 'scopes', 'last used', 'account'],
          found.map((key) => [
            key.id,
            key.label,
            key.prefix,
            key.scopes.join(' '),
            key.last_used_at,
            key.account_id,
          ]),
          'No keys.',
        );
      }),
    );
  keys
    .command('create')
    .description('Make a key for any account; it is printed once')
    .requiredOption('--label <text>')
    .option('--account <id>', 'without it, an account of its own')
    .option('--scope <scope>', 'client, miner, admin, trade or vote; several are possible', collect)
    .option('--spend-cap <aitbc>', 'what it may spend in total', number)
    .option('--expires <time>', 'ISO 8601')
    .option('--rate-limit <n>', 'requests a minute', wholeNumber)
    .action(
      act(
        async (
          { client, output, signal },
          options: {
            label: string;
            account?: string;
            scope?: string[];
            spendCap?: number;
            expires?: string;
            rateLimit?: number;
          },
        ) => {
          const body = {
            label: options.label,
            account_id: options.account,
            scopes: options.scope ?? ['client'],
            spend_cap: options.spendCap,
            expires_at: options.expires,
            rate_limit_per_minute: options.rateLimit,
          } as Input<'gateway.admin_create_api_key'>['body'];
          const made = await client.admin.keys.create(body, { signal });
          if (output.isJson) return output.json(made);
          output.line(made.key);
          output.note(`This is shown once. Its id is ${made.id}, its account ${made.account_id}.`);
        },
      ),
    );
  keys
    .command('revoke')
    .description('Make any key useless, at once')
    .argument('<key>')
    .action(
      act(async ({ client, output, signal }, id: string) => {
        const revoked = await client.admin.keys.revoke(id, { signal });
        if (output.isJson) output.json(revoked);
        else output.line(`${id} revoked`);
      }),
    );
};

const addDeadLetters = (admin: Command, act: Act): void => {
  const letters = admin.command('dead-letters').description('Messages that could not be handled');
  letters
    .command('list')
    .description('Of all services')
    .option('-n, --limit <n>', 'at most so many', count, 50)
    .action(
      act(async ({ client, output, signal }, options: { limit: number }) => {
        const found = await client.admin.deadLetters({}, { signal }).take(options.limit);
        if (output.isJson) return output.json(found);
        output.table(
          ['service', 'id', 'message', 'attempts', 'again at', 'error'],
          found.map((one) => [one.service, one.id, one.name, one.attempts, one.retry_at, one.error]),
          'No dead letters.',
        );
      }),
    );
  for (const action of ['replay', 'drop'] as const)
    letters
      .command(action)
      .description(action === 'replay' ? 'Try one again' : 'Give one up')
      .argument('<service>')
      .argument('<id>')
      .action(
        act(async ({ client, output, signal }, service: string, id: string) => {
          const body = { service, id, action } as Input<'gateway.admin_act_on_dead_letter'>['body'];
          const done = await client.admin.actOnDeadLetter(body, { signal });
          if (output.isJson) output.json(done);
          else output.line(`${id} ${action === 'replay' ? 'is tried again' : 'dropped'}`);
        }),
      );
};
