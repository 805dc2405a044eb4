import { once } from 'node:events';
import { type Aitbc, AuthenticationError, type Input, PermissionError } from '@aitbc/sdk';
import { isCancel, password, text } from '@clack/prompts';
import type { Command } from 'commander';
import { collect, count, number, wholeNumber } from '../arguments.ts';
import { type Context, clientOf } from '../context.ts';
import { EXIT, UsageError } from '../failures.ts';
import { PROFILE_DEFAULT, readProfiles, URL_DEFAULT, writeProfiles } from '../profiles.ts';
import type { Act } from '../program.ts';

const askText = async (context: Context, message: string, initialValue: string): Promise<string> =>
  answered(
    await text({ message, initialValue, output: context.streams.stderr, input: context.streams.stdin }),
  );
const askSecret = async (context: Context): Promise<string> =>
  answered(
    await password({
      message: 'Key (ak_…)',
      output: context.streams.stderr,
      input: context.streams.stdin,
    }),
  );
const answered = (answer: string | symbol | undefined): string => {
  if (isCancel(answer)) throw new DOMException('Interrupted.', 'AbortError');
  return String(answer ?? '').trim();
};

const firstLine = async (context: Context): Promise<string> => {
  let all = '';
  for await (const part of context.streams.stdin) {
    all += String(part);
    if (all.includes('\n')) break;
  }
  return all.split('\n', 1)[0]?.trim() ?? '';
};

/** What the key may do; null for one of an operator, which stands for no user. */
const scopesOf = async (client: Aitbc, signal: AbortSignal): Promise<string[] | null> => {
  try {
    return (await client.account.me({ signal })).scopes;
  } catch (error) {
    if (error instanceof PermissionError) return null;
    throw error;
  }
};

export const addAccount = (program: Command, act: Act): void => {
  program
    .command('login')
    .description('Store the key of a coordinator, readable by you alone')
    .addHelpText(
      'after',
      `
The key is asked for and not shown; without a terminal it is the first line of
stdin. It is checked before it is stored.
--profile keeps several coordinators or keys apart.

Examples:
  aitbc login --url https://coordinator.example
  aitbc login --profile work < key.txt
  aitbc --profile work jobs list`,
    )
    .action(
      act(async (context) => {
        const { options, environment, output, signal, streams } = context;
        const stored = readProfiles(environment);
        const name = options.profile ?? environment.AITBC_PROFILE ?? PROFILE_DEFAULT;
        const before = stored.profiles[name]?.url ?? URL_DEFAULT;
        const mayAsk = streams.stdin.isTTY === true;
        const given = options.url ?? environment.AITBC_URL;
        const url = (given ?? (mayAsk ? await askText(context, 'Coordinator', before) : before)).replace(
          /\/+$/,
          '',
        );
        const secret = mayAsk ? await askSecret(context) : await firstLine(context);
        if (secret === '')
          throw new UsageError(
            'There is no key.',
            'Type it when it is asked for, or give it on stdin: aitbc login < key.txt',
          );
        const scopes = await scopesOf(clientOf(url, secret), signal).catch((error) => {
          throw error instanceof AuthenticationError
            ? new UsageError(
                `${url} does not take this key: ${error.message}`,
                'Nothing was stored. Look whether all of it was copied.',
              )
            : error;
        });
        const file = writeProfiles(environment, {
          current:
            options.profile === undefined || Object.keys(stored.profiles).length === 0
              ? name
              : stored.current,
          profiles: { ...stored.profiles, [name]: { url, secret } },
        });
        if (output.isJson) output.json({ profile: name, url, scopes });
        else
          output.note(
            `Stored as profile ${name} in ${file}. The key may act as: ${scopes === null ? 'admin' : scopes.join(', ')}.`,
          );
      }),
    );
  program
    .command('logout')
    .description('Forget a stored key')
    .action(
      act(async ({ environment, options, output }) => {
        const { current, profiles } = readProfiles(environment);
        const name = options.profile ?? current;
        if (!Object.hasOwn(profiles, name)) throw new UsageError(`There is no profile ${name}.`);
        const { [name]: _, ...rest } = profiles;
        writeProfiles(environment, { current: Object.keys(rest)[0] ?? PROFILE_DEFAULT, profiles: rest });
        output.note(
          `Profile ${name} is forgotten. The key itself still works: revoke it with aitbc keys revoke.`,
        );
      }),
    );
  program
    .command('whoami')
    .description('Which coordinator, account and rights the key stands for')
    .action(
      act(async ({ client, output, signal, target }) => {
        const me = await client.account.me({ signal });
        const shown = { url: target.url, profile: target.profile ?? null, ...me };
        if (output.isJson) return output.json(shown);
        output.record({
          coordinator: target.url,
          profile: target.profile,
          account: me.user_id,
          wallet: me.wallet_address,
          'may act as': me.scopes.join(', '),
        });
      }),
    );
  addKeys(program, act);
  addExport(program, act);
};

/** Longer than the last line ever is: it has a count for each of a dozen types. */
const TAIL_BYTES = 4_096;

const addExport = (program: Command, act: Act): void => {
  program
    .command('account')
    .description('What the account holds')
    .command('export')
    .description("Write all that is the account's to stdout, as lines of JSON")
    .addHelpText(
      'after',
      `
Jobs with parameters and results, receipts, transactions, bookings, votes,
webhooks and keys without secrets, as far as the credential may read them.
It ends with 0 only when all of it came.

Example:
  aitbc account export > account.ndjson`,
    )
    .action(
      act(async ({ client, output, streams, signal }) => {
        let tail = Buffer.alloc(0);
        for await (const chunk of await client.account.export({ signal })) {
          if (!streams.stdout.write(chunk)) await once(streams.stdout, 'drain', { signal });
          tail = Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES);
        }
        const last = tail.toString().trimEnd().split('\n').at(-1) ?? '';
        if (last.startsWith('{"type":"end"')) return EXIT.done;
        output.note(`The export broke off. ${last.startsWith('{"type":"error"') ? last : ''}`.trimEnd());
        return EXIT.failed;
      }),
    );
};

type Created = { id: string; key: string };
const showKey = ({ output }: Context, made: Created): void => {
  if (output.isJson) {
    output.json(made);
    return;
  }
  output.line(made.key);
  output.note(`This is shown once. Its id is ${made.id}.`);
};

const addKeys = (program: Command, act: Act): void => {
  const keys = program
    .command('keys')
    .description('API keys of the account; takes a session (log in with its token, st_…)');
  keys
    .command('list')
    .description('Own keys')
    .option('-n, --limit <n>', 'at most so many', count, 50)
    .action(
      act(async ({ client, output, signal }, options: { limit: number }) => {
        const found = await client.account.keys.list({}, { signal }).take(options.limit);
        if (output.isJson) {
          output.json(found);
          return;
        }
        output.table(
          ['id', 'label', 'begins', 'scopes', 'last used', 'ends'],
          found.map((key) => [
            key.id,
            key.label,
            key.prefix,
            key.scopes.join(' '),
            key.last_used_at,
            key.revoked_at === null ? key.expires_at : 'revoked',
          ]),
          'No keys.',
        );
      }),
    );
  keys
    .command('create')
    .description('Make a key; it is printed once')
    .requiredOption('--label <text>', 'to recognise it by')
    .option('--scope <scope>', 'client, miner, trade or vote; several are possible', collect)
    .option('--spend-cap <aitbc>', 'what it may spend in total', number)
    .option('--expires <time>', 'ISO 8601')
    .addHelpText('after', '\nExample:\n  aitbc keys create --label laptop --scope client --spend-cap 10')
    .action(
      act(
        async (
          context,
          options: { label: string; scope?: string[]; spendCap?: number; expires?: string },
        ) => {
          const body = {
            label: options.label,
            scopes: options.scope ?? ['client'],
            spend_cap: options.spendCap,
            expires_at: options.expires,
          } as Input<'gateway.create_api_key'>['body'];
          showKey(context, await context.client.account.keys.create(body, { signal: context.signal }));
        },
      ),
    );
  keys
    .command('rotate')
    .description('Replace a key; the old one works on for a while')
    .argument('<key>')
    .option('--overlap <seconds>', 'how long', wholeNumber)
    .action(
      act(async (context, id: string, options: { overlap?: number }) => {
        const body = { overlap_seconds: options.overlap };
        showKey(context, await context.client.account.keys.rotate(id, body, { signal: context.signal }));
      }),
    );
  keys
    .command('revoke')
    .description('Make a key useless, at once')
    .argument('<key>')
    .action(
      act(async ({ client, output, signal }, id: string) => {
        const revoked = await client.account.keys.revoke(id, { signal });
        if (output.isJson) output.json(revoked);
        else output.line(`${id} revoked`);
      }),
    );
};
