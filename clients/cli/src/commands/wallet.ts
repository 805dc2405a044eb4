import type { ExchangePaymentStatus } from '@aitbc/sdk';
import type { Command } from 'commander';
import { number, wholeNumber } from '../arguments.ts';
import { EXIT, UsageError } from '../failures.ts';
import type { Act } from '../program.ts';
import { qrText } from '../qr.ts';
import { startStatusLine } from '../waiting.ts';

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
  wallet
    .command('history')
    .description('Transactions of the account on the ledger, newest first')
    .option('-n, --limit <n>', 'at most so many', wholeNumber, 20)
    .addHelpText('after', '\nExample:\n  aitbc wallet history -n 100')
    .action(
      act(async ({ client, output, signal }, options: { limit: number }) => {
        const { address } = await client.account.balance({ signal });
        const found = await client.explorer.transactions({ address }, { signal }).take(options.limit);
        if (output.isJson) return output.json(found);
        output.table(
          ['time', 'kind', 'AITBC', 'other side', 'for', 'block'],
          found.map(({ timestamp, kind, value, from, to, reference, block_height }) =>
            from === address
              ? [timestamp, kind, `-${value}`, to, reference, block_height]
              : [timestamp, kind, `+${value}`, from, reference, block_height],
          ),
          'No transactions.',
        );
      }),
    );
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
