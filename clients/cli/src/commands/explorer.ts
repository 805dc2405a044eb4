import type { PublicKey, Receipt } from '@aitbc/sdk';
import { type Block, type Transaction, verifyBlock, verifyInclusion, verifyReceipt } from '@aitbc/sdk';
import type { Command } from 'commander';
import { count, parseJson, readText, wholeNumber } from '../arguments.ts';
import type { Context } from '../context.ts';
import { NotValidError, UsageError } from '../failures.ts';
import type { Act } from '../program.ts';
import { startStatusLine } from '../waiting.ts';

const PAGE = 500;

/** Keys of a file that was kept, `{"keys": […]}` as the coordinator publishes them. */
const keysOf = async (context: Context, file: string): Promise<PublicKey[]> => {
  const { keys } = parseJson(await readText(context, file), file) as { keys?: PublicKey[] };
  if (!Array.isArray(keys))
    throw new UsageError(`${file} holds no keys.`, 'Save /.well-known/jwks.json of a coordinator.');
  return keys;
};

/** Walks blocks and transactions side by side, as they were sealed. */
const verifyLedger = async (
  context: Context,
  from: number,
  keys: readonly PublicKey[],
): Promise<{ blocks: number; transactions: number }> => {
  const { client, output, streams, signal } = context;
  // What is sealed while this walks is for the next time: its transactions may not be on the page at hand.
  const [tip] = await client.explorer.blocks({ limit: 1 }, { signal }).take(1);
  const blocks = client.explorer.blocks({ order: 'oldest', from_height: from, limit: PAGE }, { signal });
  const transactions = client.explorer
    .transactions({ order: 'oldest', from_block: from, proofs: true, limit: PAGE }, { signal })
    [Symbol.asyncIterator]();
  const line = startStatusLine(output, streams, 'reading the ledger');
  const count = { blocks: 0, transactions: 0 };
  let previous: Block | undefined;
  let next = await transactions.next();
  try {
    for await (const block of blocks) {
      if (block.height > (tip?.height ?? -1)) break;
      const wrong = (reason: string | null): never => {
        throw new NotValidError(`Block ${block.height}: ${reason}.`);
      };
      const verdict = await verifyBlock(block, keys, previous);
      if (!verdict.valid) wrong(verdict.reason);
      const places = new Set<number>();
      for (
        ;
        next.done !== true && next.value.block_height === block.height;
        next = await transactions.next()
      ) {
        const { hash, proof } = next.value;
        if (proof === null || proof === undefined) return wrong(`transaction ${hash} has no proof`);
        const included = await verifyInclusion(next.value, proof, block);
        if (!included.valid) wrong(`transaction ${hash}: ${included.reason}`);
        places.add(proof.index);
      }
      if (places.size !== block.tx_count)
        wrong(`${places.size} transactions are shown, its header says ${block.tx_count}`);
      count.blocks += 1;
      count.transactions += places.size;
      previous = block;
      line.say(`block ${block.height}, ${count.transactions} transactions`);
    }
  } finally {
    line.end();
  }
  return count;
};

const showTransaction = ({ output }: Context, transaction: Transaction): void => {
  if (output.isJson) {
    output.json(transaction);
    return;
  }
  output.record({
    hash: transaction.hash,
    block: transaction.block_height,
    time: transaction.timestamp,
    kind: transaction.kind,
    value: `${transaction.value} ${transaction.currency}`,
    from: transaction.from,
    to: transaction.to,
    for: transaction.reference,
  });
};

export const addExplorer = (program: Command, act: Act): void => {
  const explorer = program.command('explorer').description('The sealed ledger, for anyone: no key is needed');
  explorer
    .command('blocks')
    .description('Sealed blocks, newest first')
    .option('-n, --limit <n>', 'at most so many', count, 20)
    .addHelpText('after', '\nExample:\n  aitbc explorer blocks -n 5')
    .action(
      act(async ({ client, output, signal }, options: { limit: number }) => {
        const found = await client.explorer.blocks({}, { signal }).take(options.limit);
        if (output.isJson) return output.json(found);
        output.table(
          ['height', 'hash', 'txs', 'time'],
          found.map(({ height, hash, tx_count, timestamp }) => [height, hash, tx_count, timestamp]),
          'No block yet.',
        );
      }),
    );
  explorer
    .command('tx')
    .description('One transaction')
    .argument('<hash>')
    .option('--check', 'check that its block holds it, and the signature of the block')
    .addHelpText('after', '\nExample:\n  aitbc explorer tx 3b1f… --check')
    .action(
      act(async (context, hash: string, options: { check?: true }) => {
        const { client, signal, output } = context;
        const transaction = await client.explorer.transaction(hash, { signal });
        if (options.check === true) {
          const proof = await client.explorer.proof(hash, { signal });
          const block = await client.explorer.block(proof.block_height, { signal });
          for (const { valid, reason } of [
            await verifyBlock(block, await client.explorer.ledgerKeys({ signal })),
            await verifyInclusion(transaction, proof, block),
          ])
            if (!valid) throw new NotValidError(`${reason}.`);
        }
        showTransaction(context, transaction);
        if (options.check === true && !output.isJson)
          output.note('Checked: its block holds it, and is signed.');
      }),
    );
  explorer
    .command('verify')
    .description('Check every block and transaction: hashes, signatures, links, proofs')
    .option('--from <height>', 'begin here', wholeNumber, 0)
    .option('--keys <file>', 'keys that you kept, instead of those the coordinator shows now')
    .addHelpText(
      'after',
      '\nExamples:\n  aitbc explorer verify\n  aitbc explorer verify --from 1200 --keys keys.json',
    )
    .action(
      act(async (context, options: { from: number; keys?: string }) => {
        const { client, output, signal } = context;
        const keys =
          options.keys === undefined
            ? await client.explorer.ledgerKeys({ signal })
            : await keysOf(context, options.keys);
        const count = await verifyLedger(context, options.from, keys);
        if (output.isJson) output.json({ valid: true, ...count });
        else output.line(`Valid: ${count.blocks} blocks, ${count.transactions} transactions.`);
      }),
    );

  program
    .command('receipt')
    .description('Receipts of jobs')
    .command('verify')
    .description('Check a receipt: the signature, and that the result is the one that was signed')
    .argument('<file>', 'a receipt as JSON, or its proof alone; - for stdin')
    .option('--keys <file>', 'keys that you kept: then nobody is asked')
    .addHelpText('after', '\nExample:\n  aitbc receipt verify receipt.json --keys jwks.json')
    .action(
      act(async (context, file: string, options: { keys?: string }) => {
        const { client, output, signal } = context;
        const text = (await readText(context, file)).trim();
        const receipt = text.startsWith('{') ? (parseJson(text, file) as Receipt) : text;
        if (typeof receipt !== 'string' && typeof receipt.proof !== 'string')
          throw new UsageError(`${file} has no proof.`);
        const keys =
          options.keys === undefined
            ? await client.explorer.receiptKeys({ signal })
            : await keysOf(context, options.keys);
        const verdict = await verifyReceipt(receipt, keys);
        if (!verdict.valid) throw new NotValidError(`The receipt is not valid: ${verdict.reason}.`);
        if (output.isJson) return output.json(verdict);
        const { claims } = verdict;
        output.record({
          valid: 'yes',
          job: claims.job_id,
          type: claims.job_type,
          miner: claims.miner_id,
          price: `${claims.price} ${claims.currency}`,
          completed: claims.completed_at,
        });
      }),
    );
};
