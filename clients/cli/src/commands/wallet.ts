import type { ExchangePaymentStatus } from '@aitbc/sdk';
import type { Command } from 'commander';
import { count, number } from '../arguments.ts';
import { isMeant } from '../confirmation.ts';
import { EXIT, UsageError } from '../failures.ts';
import type { Act } from '../program.ts';
import { qrText } from '../qr.ts';
import { startStatusLine } from '../waiting.ts';

/** What the coordinator gives at most at once. */
const PAGE = 500;

const said = ({
  status,
  received,
  btc_amount,
  confirmations,
  confirmations_required,
}: ExchangePaymentStatus) =>
  status === 'pending'
    ? 'waiting for the bitcoin'
    : `${status}: ${received} of ${btc_amount} BTC, ${confirmations} of ${confirmations_required} confirmations`;

const addHistory = (wallet: Command, act: Act): void => {
  wallet
    .command('history')
    .description('What went in and out, with the balance after it, newest first')
    .option('-n, --limit <n>', 'at most so many', count, 20)
    .option('--csv', 'all of it for a spreadsheet')
    .addHelpText(
      'after',
      '\nExamples:\n  aitbc wallet history -n 100\n  aitbc wallet history --csv > 2026.csv',
    )
    .action(
      act(async ({ client, output, streams, signal }, options: { limit: number; csv?: true }) => {
        if (options.csv === true) {
          const pages = client.account.statementCsv({ limit: PAGE }, { signal });
          for await (const page of pages) streams.stdout.write(page);
          return;
        }
        const query = { limit: Math.min(Math.max(options.limit, 1), PAGE) };
        const found = await client.account.statement(query, { signal }).take(options.limit);
        if (output.isJson) return output.json(found);
        output.table(
          ['time', 'kind', 'AITBC', 'balance', 'memo', 'for', 'other side'],
          found.map(({ time, kind, amount, balance, memo, reference, counterparty }) => [
            time,
            kind,
            amount > 0 ? `+${amount}` : amount,
            balance,
            memo,
            reference,
            counterparty,
          ]),
          'No transactions.',
        );
      }),
    );
};

const addSend = (wallet: Command, act: Act): void => {
  wallet
    .command('send')
    .description('Give tokens to another account, for good; takes a session, or a key with the scope trade')
    .argument('<to>', 'an account id, or an address')
    .argument('<aitbc>', 'how much', number)
    .option('--memo <text>', 'for you and who gets it, 140 characters at most')
    .option('-y, --yes', 'do not ask')
    .option('--idempotency-key <key>', 'given again, it is sent once')
    .addHelpText(
      'after',
      "\nExamples:\n  aitbc wallet send 0190f2a5-… 2.5 --memo 'for the weights'\n  aitbc wallet send 0190f2a5-… 2.5 --yes --idempotency-key invoice-17 --json",
    )
    .action(
      act(
        async (
          { client, output, streams, signal },
          to: string,
          amount: number,
          options: { memo?: string; yes?: true; idempotencyKey?: string },
        ) => {
          const what = `send ${amount} AITBC to ${to}`;
          if (!(await isMeant(output, streams, { what, done: 'sent', isSure: options.yes === true })))
            return EXIT.failed;
          const sent = await client.account.transfer(
            { to, amount, memo: options.memo },
            { signal, idempotencyKey: options.idempotencyKey },
          );
          if (output.isJson) output.json(sent);
          else
            output.record({
              sent: `${sent.amount} ${sent.currency}`,
              to: sent.to.account_id,
              memo: sent.memo,
              transaction: sent.transaction_hash,
            });
          return EXIT.done;
        },
      ),
    );
};

export const addWallet = (program: Command, act: Act): void => {
  const wallet = program.command('wallet').description('What the account has, and how to get more');
  wallet
    .command('balance')
    .description('What can be spent, and what is held')
    .addHelpText('after', '\nExample:\n  aitbc wallet balance --json | jq .available')
    .action(
      act(async ({ client, output, signal }) => {
        const balance = await client.account.balance({ signal });
        if (output.isJson) return output.json(balance);
        output.record({
          available: `${balance.available} ${balance.currency}`,
          held: balance.held,
          debt: balance.debt,
          address: balance.address,
        });
      }),
    );
  addHistory(wallet, act);
  addSend(wallet, act);
  wallet
    .command('buy')
    .description('Buy AITBC with bitcoin: shows where to send it, and waits until it is credited')
    .argument('[aitbc]', 'how much', number)
    .option('--btc <amount>', 'how much bitcoin instead', number)
    .option('--no-wait', 'print the address and end')
    .option('--no-qr', 'no QR code')
    .addHelpText(
      'after',
      '\nExamples:\n  aitbc wallet buy 100\n  aitbc wallet buy --btc 0.001 --no-wait --json',
    )
    .action(
      act(
        async (
          { client, output, streams, signal },
          aitbc: number | undefined,
          options: { btc?: number; wait: boolean; qr: boolean },
        ) => {
          if (aitbc === undefined && options.btc === undefined)
            throw new UsageError('Say how much: aitbc wallet buy 100, or --btc 0.001');
          const payment = await client.exchange.buy(
            { aitbc_amount: aitbc, btc_amount: options.btc },
            { signal },
          );
          if (!output.isJson) {
            if (options.qr && streams.stdout.isTTY === true) output.line(qrText(payment.uri));
            output.record({
              send: `${payment.btc_amount} BTC`,
              to: payment.payment_address,
              for: `${payment.aitbc_amount} AITBC`,
              until: payment.expires_at,
              link: payment.uri,
              payment: payment.payment_id,
            });
          }
          if (!options.wait) {
            if (output.isJson) output.json(payment);
            return;
          }
          const line = startStatusLine(output, streams, 'waiting for the bitcoin');
          let end: ExchangePaymentStatus;
          try {
            end = await client.exchange.wait(payment.payment_id, {
              signal,
              onStatus: (status) => line.say(said(status)),
            });
          } finally {
            line.end();
          }
          if (output.isJson) output.json(end);
          else
            output.line(
              end.credited === null
                ? 'Nothing came in time.'
                : `Credited: ${end.credited.aitbc_amount} AITBC`,
            );
          return end.credited === null ? EXIT.failed : EXIT.done;
        },
      ),
    );
};
